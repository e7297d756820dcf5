"""Checks of the webhook: registered as it was installed, trusted by the API server, and not about to expire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from injector.certificate.bundle import WebhookConfiguration, split
from injector.certificate.pair import Pair, Unreadable, read_certificate
from injector.certificate.store import Foreign, read_store
from injector.options import NAME
from mesh.check.facts import Facts, Object, see
from mesh.check.installation import AVAILABLE, explain_absence, name_upgrade, read_values
from mesh.check.line import Finding, enumerate_some, fail, ok, skip, warn
from mesh.install.builder import build
from mesh.install.difference import is_within
from mesh.install.parts import guard
from mesh.version import VERSION

_KIND: Final = "MutatingWebhookConfiguration"
# The injector renews after two thirds of the lifetime: a certificate in its last quarter was not renewed.
_LEFT_MIN: Final = 0.25
_COMPARED: Final = ("failurePolicy", "namespaceSelector", "objectSelector", "rules", "timeoutSeconds")


def judge_registration(facts: Facts) -> Finding:
    if reason := explain_absence(facts, "injector"):
        return skip(reason)
    found = see(facts.webhook)
    if found is None or not found.get("webhooks"):
        return fail(
            f"there is no {_KIND} {NAME} with webhooks, so no pod gets a sidecar",
            f"{name_upgrade(facts)} makes it again",
        )
    return ok()


def judge_selection(facts: Facts) -> Finding:
    """Whether somebody has changed by hand what pods are shown to the injector, and what happens without it."""
    if (configuration := see_webhook(facts)) is None:
        return skip("there is no webhook")
    record = facts.installed
    if record.version != VERSION:
        return skip(f"what Gossamer {record.version} installs is not known to this version")
    wanted = next(item for item in build(read_values(facts), facts.asked.namespace) if item["kind"] == _KIND)
    changed = list_changes(wanted, configuration)
    if changed:
        return warn(f"it is not as it was installed: {enumerate_some(changed)}", name_upgrade(facts))
    return ok()


def see_webhook(facts: Facts) -> Object | None:
    return None if explain_absence(facts, "injector") else see(facts.webhook)


def list_changes(wanted: Object, found: Object) -> list[str]:
    present = {webhook["name"]: webhook for webhook in found.get("webhooks") or []}
    changes = []
    for webhook in wanted["webhooks"]:
        name = webhook["name"]
        if name not in present:
            changes.append(f"{name} is missing")
            continue
        theirs = present[name]
        changes += [f"{field} of {name}" for field in _COMPARED if not is_within(webhook[field], theirs.get(field))]
        if not is_within(webhook["clientConfig"], theirs.get("clientConfig")):
            changes.append(f"clientConfig of {name}")
    return changes


def judge_bundle(facts: Facts) -> Finding:
    """Each caBundle has an authority that is valid now."""
    if (configuration := see_webhook(facts)) is None:
        return skip("there is no webhook")
    problems = []
    for webhook in configuration.get("webhooks") or []:
        if problem := explain_bundle(str(webhook["clientConfig"].get("caBundle") or ""), facts.now):
            problems.append(f"the caBundle of {webhook['name']} {problem}")
    if problems:
        return fail(
            enumerate_some(problems),
            "the injector writes it within seconds: see its log, and that it may patch the configuration "
            "(docs/rbac/injector.yaml); with a certificate of yours, give the injector --ca-bundle",
        )
    return ok()


def explain_bundle(bundle: str, now: datetime) -> str:
    if not bundle:
        return "is empty"
    try:
        authorities = [read_certificate(text) for text in split(bundle)]
    except Unreadable:
        return "holds something else than certificates"
    return "" if any(is_valid(found, now) for found in authorities) else "has no authority that is valid now"


def is_valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def judge_certificate(facts: Facts) -> Finding:
    """What the injector serves is in its Secret; one of the user's own is in files that only the injector has."""
    if (configuration := see_webhook(facts)) is None:
        return skip("there is no webhook")
    secret = see(facts.secret)
    if secret is None:
        return skip(f"there is no Secret {NAME}: the injector serves a certificate of yours, from files")
    place = facts.asked.namespace
    cure = f"kubectl --namespace {place} delete secret {NAME}: the injector makes another at once; see its log"
    try:
        store, problems = read_store(secret)
    except Foreign as foreign:
        return fail(
            f"the Secret {NAME} is not ours: {foreign}", "remove it, or give the injector another with --secret"
        )
    if store.current is None:
        return fail(f"the Secret {NAME} cannot be used: {enumerate_some(problems)}", cure)
    if not is_trusted(store.current, configuration):
        return fail("the API server does not trust it: no caBundle has its authority", cure)
    return judge_lifetime(store.current, facts, cure)


def is_trusted(pair: Pair, configuration: Object) -> bool:
    """By every caBundle: one authority in it has signed the certificate."""
    if WebhookConfiguration(configuration).holds([pair.authority]):
        return True
    issued = read_certificate(pair.certificate)
    bundles = [split(str(item["clientConfig"].get("caBundle") or "")) for item in configuration.get("webhooks") or []]
    return bool(bundles) and all(any(has_signed(text, issued) for text in bundle) for bundle in bundles)


def has_signed(authority: str, issued: x509.Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(read_certificate(authority))
    except (Unreadable, ValueError, TypeError, InvalidSignature):
        return False
    return True


def judge_lifetime(pair: Pair, facts: Facts, cure: str) -> Finding:
    left, whole = pair.not_after - facts.now, pair.not_after - pair.not_before
    until = pair.not_after.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    if facts.now < pair.not_before:
        return fail(f"it is valid only from {pair.not_before.astimezone(UTC):%Y-%m-%d %H:%M} UTC", cure)
    if left.total_seconds() <= 0:
        return fail(f"it has expired at {until}", cure)
    if left < whole * _LEFT_MIN:
        return fail(f"it was not renewed in time, and expires at {until}", cure)
    return ok(f"valid until {until}")


def judge_guard(facts: Facts) -> Finding:
    """Without the admission policy, whoever steals the injector's token can redirect the webhook."""
    if see_webhook(facts) is None:
        return skip("there is no webhook")
    values, record = read_values(facts), facts.installed
    if not values[guard.ENABLED]:
        return skip(f"{guard.ENABLED} is false")
    if record.version != VERSION:
        return skip(f"what Gossamer {record.version} installs is not known to this version")
    wanted = [item for item in build(values, facts.asked.namespace) if item["kind"] in guard.KINDS]
    changed = [
        f"the {item['kind']} {NAME} {'is not as it was installed' if found else 'is gone'}"
        for item, found in zip(wanted, map(see, facts.guard), strict=True)
        if not found or not is_within(item["spec"], found.get("spec"))
    ]
    if changed:
        return warn(
            f"whoever steals the injector's token can redirect the webhook: {enumerate_some(changed)}",
            name_upgrade(facts),
        )
    return ok()


def judge_policy(facts: Facts) -> Finding:
    """Fail without a second injector stops pods with every rollout of it; Ignore beside --ha starts pods bare."""
    if (configuration := see_webhook(facts)) is None:
        return skip("there is no webhook")
    policies: set[Any] = {webhook.get("failurePolicy") for webhook in configuration.get("webhooks") or []}
    replicas = read_values(facts)["injector.replicas"]
    if "Fail" in policies and replicas < 2:
        return warn(
            "failurePolicy is Fail, and there is one injector: while it is replaced, meshed namespaces get no pods",
            f"{name_upgrade(facts, AVAILABLE)}, or with --set injector.failurePolicy=Ignore",
        )
    if "Ignore" in policies and replicas > 1:
        return warn(
            "there are several injectors, and failurePolicy is Ignore: pods may start without a sidecar all the same",
            name_upgrade(facts, "--set injector.failurePolicy=Fail"),
        )
    return ok(", ".join(sorted(map(str, policies))))
