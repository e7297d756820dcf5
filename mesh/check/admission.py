"""Checks of whether pods are let into the cluster, and get their sidecar on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from injector.patch import Settings, Verdict
from injector.patch.fields import Refusal
from injector.patch.wishes import read_wishes
from mesh.check.facts import Facts, Object, see
from mesh.check.line import Finding, enumerate_some, fail, ok, skip
from mesh.check.makers import explain_lack, name_maker, template_of
from mesh.check.pods import find_sidecar, name_pod
from mesh.check.scope import asks, seen
from mesh.check.workloads import RESTART, list_pods, read, read_pod_wishes, settle, try_injection
from mesh.contract import DISABLED, ENABLED, INIT_CONTAINER, INJECT

_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_FORBIDDING: Final = ("baseline", "restricted")


def judge_admission(facts: Facts) -> Finding:
    """Whether PodSecurity lets the init container in."""
    scope, settings = see(facts.scope), settle(facts)
    problems = [
        f"{name} enforces {level}"
        for name, namespace in scope.namespaces.items()
        if (level := read(namespace, "labels").get(_ENFORCE)) in _FORBIDDING
        and needs_rules(facts, settings, name, namespace)
    ]
    if problems:
        return fail(
            f"the init container needs NET_ADMIN, which PodSecurity forbids: {enumerate_some(problems)}",
            f"kubectl label --overwrite namespace NS {_ENFORCE}=privileged, or go without interception: "
            "kubectl annotate namespace NS config.gossamer.mesh/interception=none (docs/injection.md)",
        )
    return ok()


def needs_rules(facts: Facts, settings: Settings, name: str, namespace: Object) -> bool:
    """Not where all that is there goes without them; where there is nothing yet, what comes by default."""
    try:
        if not read_wishes({}, read(namespace, "annotations"), settings.defaults).intercepts:
            return False
        found = [pod for pod in list_sources(facts) if pod["metadata"]["namespace"] == name]
        meshed = [pod for pod in found if is_meshed(facts, settings, pod)]
        if not meshed:
            return asks(namespace) or facts.is_single
        return any(has_rules(facts, settings, pod) for pod in meshed)
    except Refusal:
        return True


def has_rules(facts: Facts, settings: Settings, pod: Object) -> bool:
    """What was written out by hand, with options that no annotation tells of, shows it itself."""
    if find_sidecar(pod) is not None:
        return any(container["name"] == INIT_CONTAINER for container in pod["spec"].get("initContainers") or [])
    return read_pod_wishes(facts, settings, pod).intercepts


def list_sources(facts: Facts) -> list[Object]:
    """Pods, and templates of pods that may not have come to be."""
    return [*list_pods(facts), *map(template_of, seen(see(facts.scope).workloads))]


def is_meshed(facts: Facts, settings: Settings, pod: Object) -> bool:
    """It has a sidecar, or would be given one, or be refused."""
    return find_sidecar(pod) is not None or try_injection(facts, settings, pod).verdict is not Verdict.SKIPPED


def judge_entry(facts: Facts) -> Finding:
    """Whether meshed workloads get their pods, whoever it is that forbids them."""
    scope, settings = see(facts.scope), settle(facts)
    refused = [
        f"{name_maker(maker)}: {reason}"
        for maker in see(scope.workloads)
        if (reason := explain_lack(maker, seen(scope.events), facts.now))
        and is_meshed(facts, settings, template_of(maker))
    ]
    if refused:
        return fail(
            enumerate_some(refused),
            "a quota or LimitRange counts the sidecar too: config.gossamer.mesh/proxy-cpu-limit and the like say how "
            "much it gets; what the injector refuses, it says why (docs/injection.md)",
        )
    see(scope.events)
    return ok()


def judge_injected(facts: Facts) -> Finding:
    if facts.is_single:
        return skip("a single-namespace installation has no webhook: mesh inject --manual writes the sidecar")
    causes, cures = [], []
    if mistakes := list(list_mistakes(facts)):
        causes.append(enumerate_some(mistakes))
        cures.append(
            f"kubectl label --overwrite namespace NS {INJECT}={ENABLED} (or {DISABLED}); mend its annotations "
            "(docs/injection.md)"
        )
    if bare := list(list_bare(facts)):
        causes.append(f"without a sidecar: {enumerate_some(bare)}")
        cures.append(
            f"{RESTART}: pods get it when they are made. If new ones have none, see the injector's Events and log"
        )
    return fail("; ".join(causes), "; ".join(cures)) if causes else ok()


def list_mistakes(facts: Facts) -> Iterator[str]:
    """Namespaces that ask in a way that is not heard, or in one that lets no pod in."""
    scope, settings = see(facts.scope), settle(facts)
    for namespace in scope.strays:
        name, said = namespace["metadata"]["name"], read(namespace, "labels").get(INJECT)
        if said is not None and said != DISABLED:
            yield f"the namespace {name} has the label {INJECT}: {said}, which is neither {ENABLED} nor {DISABLED}"
        elif said is None and read(namespace, "annotations").get(INJECT) != DISABLED:
            yield f"the namespace {name} has {INJECT} as an annotation, without the label that the webhook goes by"
    for name, namespace in scope.namespaces.items():
        any_pod: Object = {"metadata": {"namespace": name}, "spec": {"containers": [{"name": "app"}]}}
        if asks(namespace) and (outcome := try_injection(facts, settings, any_pod)).verdict is Verdict.REFUSED:
            yield f"the namespace {name} gets no pods: {outcome.sentence}"


def list_bare(facts: Facts) -> Iterator[str]:
    """Pods that the injector would give a sidecar, or would refuse."""
    settings = settle(facts)
    for pod in list_pods(facts):
        if find_sidecar(pod) is not None:
            continue
        outcome = try_injection(facts, settings, pod)
        if outcome.verdict is Verdict.INJECTED:
            yield name_pod(pod)
        elif outcome.verdict is Verdict.REFUSED:
            yield f"{name_pod(pod)} ({outcome.sentence})"
