"""Checks of what is installed: there, of one version, running, and as available as it was asked to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from injector.options import NAME as INJECTOR_NAME
from mesh.check.cluster import INSTALL
from mesh.check.facts import Facts, Malformed, Object, Unseen, see
from mesh.check.line import Finding, enumerate_some, fail, ok, skip, warn
from mesh.check.pods import explain, is_finished, is_going, name_pod
from mesh.contract import CONTROL_NAMESPACE
from mesh.install.builder import build
from mesh.install.cluster import PLACES
from mesh.install.keys import DEFAULTS
from mesh.install.leftovers import find_leftovers
from mesh.install.parts.common import COMPONENT
from mesh.install.parts.controlplane import COMPONENT as CONTROL_PLANE
from mesh.install.parts.injector import COMPONENT as INJECTOR
from mesh.install.parts.place import RECORD
from mesh.install.stored import as_numbers
from mesh.version import VERSION

AVAILABLE: Final = "--ha"
_SWITCH: Final = "injector.enabled"
_VERSION_LABEL: Final = "app.kubernetes.io/version"


def name_upgrade(facts: Facts, *options: str) -> str:
    """The command that brings what is installed back to what it should be: Helm's where it was Helm."""
    record, place = facts.installed, facts.asked.namespace
    if record.release:
        values = ["-f values-ha.yaml" if option == AVAILABLE else option for option in options]
        return " ".join([f"helm upgrade --reuse-values --namespace {place} {record.release} CHART", *values])
    where = [] if place == CONTROL_NAMESPACE else [f"--namespace {place}"]
    return " ".join(["mesh upgrade", *where, *options, "| kubectl apply -f -"])


def judge_namespace(facts: Facts) -> Finding:
    if see(facts.namespace) is None:
        return fail(f"there is no namespace {facts.asked.namespace}", name_place(facts))
    return ok()


def name_place(facts: Facts) -> str:
    """What to do where nothing is installed in the namespace that was named."""
    if isinstance(facts.elsewhere, str) and facts.elsewhere:
        return (
            f"--namespace {facts.elsewhere}: there it is installed, for all namespaces; --workloads "
            f"{facts.asked.namespace} beside it says which namespace's workloads are meant"
        )
    return f"{INSTALL}, or name another with --namespace NS"


def judge_record(facts: Facts) -> Finding:
    """Without knowing this nothing is well, unless no more than the workloads of one namespace are asked for."""
    record, place = facts.record, facts.asked.namespace
    if isinstance(record, Malformed):
        return fail(record.reason, f"kubectl --namespace {place} edit configmap {RECORD} (docs/installation.md)")
    if isinstance(record, Unseen) and not facts.asked.workloads:
        return fail(
            f"whether Gossamer is installed in {place} may not be seen: {record.reason}",
            "name the namespace of the installation with --namespace NS; to check the workloads of one namespace, "
            "with rights in it alone: --workloads NS",
        )
    record = see(record)
    if record is None:
        return fail(f"Gossamer is not installed in {place} (there is no ConfigMap {RECORD})", name_place(facts))
    return ok(f"Gossamer {record.version}")


def judge_release(facts: Facts) -> Finding:
    found = facts.installed
    if found.version == VERSION:
        return ok()
    cause = f"Gossamer {found.version} is installed, and this command is {VERSION}"
    if as_numbers(found.version) > as_numbers(VERSION):
        return warn(cause, f"use mesh {found.version}")
    return warn(cause, name_upgrade(facts))


def judge_rollout(facts: Facts) -> Finding:
    """A pod that is going is being replaced already."""
    wanted = facts.installed.version
    others = [
        f"{name_pod(pod)} runs {found}"
        for pod in see(facts.own_pods)
        if not is_going(pod) and (found := pod["metadata"]["labels"].get(_VERSION_LABEL, wanted)) != wanted
    ]
    if others:
        place = facts.asked.namespace
        return warn(
            f"{wanted} is installed, but {enumerate_some(others)}",
            f"kubectl --namespace {place} rollout status deployment; if it hangs, the checks of pods say why",
        )
    return ok()


def judge_injector(facts: Facts) -> Finding:
    """Nobody may be led to believe that it is off while it injects: to apply manifests without it deletes nothing."""
    left = list_left(facts)
    if not left:
        return judge_part(facts, INJECTOR)
    return fail(
        f"{_SWITCH} is false, and it is still there, and goes on injecting: {', '.join(left)}",
        f"kubectl --namespace {facts.asked.namespace} delete --ignore-not-found {name_parts(facts)}",
    )


def list_left(facts: Facts) -> list[str]:
    """What works on of an injector that was turned off."""
    if facts.is_single or is_injecting(facts):
        return []
    deployment = [] if find_part(facts, INJECTOR) is None else [f"the Deployment {INJECTOR_NAME}"]
    webhook = [f"the webhook {INJECTOR_NAME}"] if isinstance(facts.webhook, dict) else []
    return [*webhook, *deployment]


def name_parts(facts: Facts) -> str:
    """All objects of the injector as kubectl names them, the webhook first."""
    values = read_values(facts)
    on, off = (build({**values, _SWITCH: switch}, facts.asked.namespace) for switch in (True, False))
    names = {item["kind"]: item["metadata"]["name"] for item in find_leftovers(on, off)}
    secret = {"Secret": INJECTOR_NAME}  # its own make
    return " ".join(f"{place.plural}/{name}" for place in PLACES if (name := {**names, **secret}.get(place.kind)))


def read_values(facts: Facts) -> dict[str, Any]:
    """All of them, as far as this version knows them."""
    given = facts.installed.values
    return {**DEFAULTS, **{name: value for name, value in given.items() if name in DEFAULTS}}


def is_injecting(facts: Facts) -> bool:
    return bool(facts.installed.values.get(_SWITCH, True))


def judge_part(facts: Facts, component: str) -> Finding:
    """A Deployment of ours, with the reasons of its pods."""
    if (reason := explain_absence(facts, component)) is not None:
        return skip(reason)
    deployment = find_part(facts, component)
    place, name = facts.asked.namespace, f"gossamer-{component}"
    if deployment is None:
        return fail(f"there is no Deployment {name} in {place}", f"{name_upgrade(facts)} makes it again")
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    available = status.get("availableReplicas", 0)
    if not wanted:
        cure = f"kubectl --namespace {place} scale deployment {name} --replicas 1"
        return fail(f"{name} is scaled to 0 replicas", cure)
    if available >= wanted:
        return ok(f"{available} of {wanted} available")
    cause = (
        f"{available} of {wanted} replicas of {name} are available: {enumerate_some(list_reasons(facts, deployment))}"
    )
    make = warn if available else fail
    return make(cause, f"see docs/checks.md for each reason, and kubectl --namespace {place} describe pods")


def explain_absence(facts: Facts, component: str) -> str | None:
    """Why this part is not installed; None where it is."""
    if component != INJECTOR:
        return None
    if facts.is_single:
        return "a single-namespace installation has no webhook"
    return None if is_injecting(facts) else f"{_SWITCH} is false"


def find_part(facts: Facts, component: str) -> Object | None:
    name = f"gossamer-{component}"
    return next((item for item in see(facts.deployments) if item["metadata"]["name"] == name), None)


def list_reasons(facts: Facts, deployment: Object) -> list[str]:
    """What the pods say, or, where there are none, what keeps them from being made."""
    component = deployment["metadata"]["labels"][COMPONENT]
    found = [
        f"{name_pod(pod)}: {reason}"
        for pod in see(facts.own_pods)
        if pod["metadata"]["labels"].get(COMPONENT) == component and not is_going(pod) and not is_finished(pod)
        for reason in [explain(pod)]
        if reason
    ]
    conditions = (deployment.get("status") or {}).get("conditions") or []
    refused = [item.get("message", "") for item in conditions if item["type"] == "ReplicaFailure"]
    return [*found, *refused] or ["no pod has been made yet"]


def judge_services(facts: Facts) -> Finding:
    """By them sidecars find the control plane, and the API server the injector."""
    parts = [part for part in (CONTROL_PLANE, INJECTOR) if explain_absence(facts, part) is None]
    problems = [problem for part in parts if (problem := explain_service(facts, part))]
    if problems:
        return fail(enumerate_some(problems), f"{name_upgrade(facts)} makes it as it was")
    return ok()


def explain_service(facts: Facts, component: str) -> str:
    name = f"gossamer-{component}"
    service = next((item for item in see(facts.own_services) if item["metadata"]["name"] == name), None)
    if service is None:
        return f"there is no Service {name} in {facts.asked.namespace}"
    labels = [pod["metadata"]["labels"] for pod in see(facts.own_pods)]
    pods = [found.items() for found in labels if found.get(COMPONENT) == component]
    selector = (service["spec"].get("selector") or {}).items()
    if pods and not (selector and any(selector <= found for found in pods)):
        return f"the Service {name} selects none of its pods"
    return ""


def judge_availability(facts: Facts) -> Finding:
    """As far as it was asked for: one replica of each part is the default."""
    values = {**DEFAULTS, **facts.installed.values}
    parts = [
        (component, values[f"{key}.replicas"])
        for component, key in ((CONTROL_PLANE, "controlPlane"), (INJECTOR, "injector"))
        if explain_absence(facts, component) is None
    ]
    if all(replicas < 2 for _, replicas in parts):
        return skip("it is installed with one replica of each part; mesh upgrade --ha makes it highly available")
    problems = [problem for component, _ in parts for problem in list_weaknesses(facts, component)]
    if problems:
        return warn(enumerate_some(problems), f"{name_upgrade(facts, AVAILABLE)}; it needs three nodes")
    return ok()


def list_weaknesses(facts: Facts, component: str) -> list[str]:
    name, deployment = f"gossamer-{component}", find_part(facts, component)
    found = []
    if deployment is None or deployment["spec"].get("replicas", 1) < 2:
        found.append(f"{name} has fewer than two replicas")
    if not any(budget["metadata"]["name"] == name for budget in see(facts.budgets)):
        found.append(f"{name} has no PodDisruptionBudget, so a drain may take all of it")
    nodes = [
        pod["spec"].get("nodeName", "")
        for pod in see(facts.own_pods)
        if pod["metadata"]["labels"].get(COMPONENT) == component and not is_going(pod) and pod["spec"].get("nodeName")
    ]
    if len(nodes) > 1 and len(set(nodes)) == 1:
        found.append(f"all pods of {name} are on the node {nodes[0]}")
    return found


judge_control_plane: Final[Callable[[Facts], Finding]] = partial(judge_part, component=CONTROL_PLANE)
