"""Checks of what the control plane says of its clients: which have a stream, and what they refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from mesh.check.facts import Facts, Object, Skipped, Unseen, see
from mesh.check.line import Finding, enumerate_some, fail, hold, ok, warn
from mesh.check.pods import has_started_since, list_statuses, name_pod
from mesh.check.workloads import RESTART, explain_sidecar, list_meshed, settle
from mesh.contract import ANONYMOUS, PROXY_CONTAINER
from mesh.install.parts.common import COMPONENT
from mesh.install.parts.controlplane import COMPONENT as CONTROL_PLANE

# Sidecars try again within this time when a name did not resolve at once, or a control plane was replaced.
_SETTLING_S: Final = 30.0
_OPTION: Final = "--control-plane"


def judge_connection(facts: Facts) -> Finding:
    """By what the control plane says. A sidecar gives its name with its first question, so those that have asked
    nothing yet are counted alone."""
    nodes = [str(stream.get("node", "")) for page in see_pages(facts) for stream in page.get("streams") or []]
    ready = [(pod, read_address(sidecar)) for pod, sidecar in list_meshed(facts) if not explain_sidecar(pod)]
    absent = [(pod, asked) for pod, asked in ready if "{name}.{namespace}".format_map(pod["metadata"]) not in nodes]
    wanted = settle(facts).control_plane
    astray = [(pod, asked) for pod, asked in absent if not is_same(asked, wanted, pod, facts.asked.namespace)]
    if astray:
        named = enumerate_some(f"{name_pod(pod)}, which asks {asked}" for pod, asked in astray)
        return fail(
            f"the control plane has no stream of {named}",
            f"{RESTART}; where the sidecar was written by hand, mesh inject --manual --control-plane {wanted}",
        )
    unnamed = [pod for pod, _ in absent]
    lost = len(unnamed) - nodes.count(ANONYMOUS)
    if lost <= 0:
        return ok()
    which = "" if lost == len(unnamed) else f"{lost} of "
    cause = f"the control plane has no stream of {which}{enumerate_some(map(name_pod, unnamed))}"
    if lost <= count_settling(facts, unnamed):
        return hold(
            f"{cause}, and they or itself started less than {_SETTLING_S:g} s ago",
            "look again in a moment, or with --wait 1m",
        )
    return fail(
        cause,
        "they serve what they knew; a sidecar's log and its gossamer_control_connected say more. "
        f"See that no NetworkPolicy keeps pods from {wanted}",
    )


def read_address(sidecar: Object) -> str:
    """Where it looks for its control plane; empty where it does not say."""
    words = [*(sidecar.get("command") or []), *(sidecar.get("args") or [])]
    return str(words[words.index(_OPTION) + 1]) if _OPTION in words[:-1] else ""


def is_same(asked: str, wanted: str, pod: Object, place: str) -> bool:
    """Whether these are two names of one Service: the pod's own DNS completes a short one."""
    host, _, port = asked.rpartition(":")
    full, _, same_port = wanted.rpartition(":")
    host = host.rstrip(".")
    if not asked or host == full:
        return not asked or port == same_port
    is_short = full.startswith(f"{host}.") and ("." in host or pod["metadata"]["namespace"] == place)
    return is_short and port == same_port


def count_settling(facts: Facts, pods: list[Object]) -> int:
    """How many of them may just not have come to their stream yet: all, where the control plane is new."""
    ahead_s = 0.0 if isinstance(facts.ahead_s, Unseen) else facts.ahead_s
    moment = facts.now + timedelta(seconds=ahead_s - _SETTLING_S)
    planes = [pod for pod in see(facts.own_pods) if pod["metadata"]["labels"].get(COMPONENT) == CONTROL_PLANE]
    if any(has_started_since(moment, status) for pod in planes for status in list_statuses(pod)):
        return len(pods)
    sidecars = [status for pod in pods for status in list_statuses(pod) if status["name"] == PROXY_CONTAINER]
    return sum(has_started_since(moment, status) for status in sidecars)


def see_pages(facts: Facts) -> list[Object]:
    pages = see(facts.pages)
    if not pages:
        raise Skipped("no pod of the control plane runs")
    try:
        return [see(page) for page in pages.values()]
    except Skipped as skipped:
        raise Skipped(f"the control plane's admin port cannot be asked ({skipped})") from None


def judge_refusals(facts: Facts) -> Finding:
    nacks = [nack for page in see_pages(facts) for nack in page.get("nacks") or []]
    said = [f"{nack['node']} refused {', '.join(nack['names'])}: {nack['problem']}" for nack in nacks]
    if said:
        return warn(
            f"since the control plane's start: {enumerate_some(dict.fromkeys(said))}",
            "clients keep what they had before; upgrade the older side, and see the control plane's log",
        )
    return ok()
