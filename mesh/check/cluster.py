"""Checks of the cluster itself, and of what is to be so before an installation."""

from __future__ import annotations

from typing import Final

from injector.patch.settings import NATIVE_SIDECARS
from mesh.check.facts import Facts, see
from mesh.check.line import Finding, enumerate_some, fail, ok, warn
from mesh.install.chart import MINIMUM_VERSION

_SKEW_WARNED_S, _SKEW_FAILED_S = 5, 60
INSTALL: Final = "mesh install | kubectl apply -f -"


def judge_reach(facts: Facts) -> Finding:
    if facts.trouble:
        return fail(facts.trouble, "try kubectl cluster-info, and log in with kubectl; name a kubeconfig: --kubeconfig")
    return ok()


def judge_version(facts: Facts) -> Finding:
    found = ".".join(map(str, facts.version))
    if facts.version < MINIMUM_VERSION:
        least = ".".join(map(str, MINIMUM_VERSION))
        return fail(f"it is Kubernetes {found}, and Gossamer needs {least} or newer", "upgrade the cluster")
    if facts.version < NATIVE_SIDECARS:
        native = ".".join(map(str, NATIVE_SIDECARS))
        return warn(
            f"Kubernetes {found} has no native sidecars, so pods get a plain container",
            f"upgrade the cluster to {native}; until then, Jobs must end the sidecar: mesh proxy await --shutdown",
        )
    return ok(f"Kubernetes {found}")


def judge_clock(facts: Facts) -> Finding:
    ahead_s = see(facts.ahead_s)
    if abs(ahead_s) <= _SKEW_WARNED_S:
        return ok()
    side = "ahead of" if ahead_s > 0 else "behind"
    cause = f"the API server's clock is {abs(ahead_s):.0f} s {side} this machine's"
    make = fail if abs(ahead_s) > _SKEW_FAILED_S else warn
    return make(cause, "synchronise both clocks (NTP): certificates and tokens are judged by them")


def judge_rights(facts: Facts) -> Finding:
    denied = see(facts.denied)
    if not denied:
        return ok()
    cure = "ask an administrator of the cluster for them"
    if not facts.asked.is_single:
        cure += ", or install for one namespace: mesh install --single-namespace --namespace NS"
    return fail(f"you may not: {enumerate_some(denied)}", cure)


def judge_free(facts: Facts) -> Finding:
    record, elsewhere = see(facts.record), see(facts.elsewhere)
    if record is not None:
        place = facts.asked.namespace
        return fail(f"Gossamer {record.version} is installed in {place} already", "use mesh upgrade; then mesh check")
    if elsewhere and not facts.asked.is_single:
        return fail(
            f"Gossamer is installed in {elsewhere} already, for all namespaces",
            f"use mesh upgrade --namespace {elsewhere}, or install for one namespace: --single-namespace",
        )
    return ok()
