"""Checks of meshed namespaces and their pods: admitted, with a sidecar, a current one, ready and served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from injector.patch import Place, Settings, Verdict, inject
from injector.patch.fields import Refusal
from injector.patch.settings import SYSTEM_NAMESPACES, name_control_plane
from injector.patch.wishes import Wishes, read_wishes
from mesh.check.facts import Facts, Object, Skipped, see
from mesh.check.line import Finding, enumerate_some, fail, ok, skip, warn
from mesh.check.pods import (
    explain,
    explain_container,
    find_sidecar,
    is_finished,
    is_going,
    list_statuses,
    name_pod,
)
from mesh.contract import PROXY_CONTAINER
from mesh.install.keys import DEFAULTS
from mesh.install.parts.common import PART_OF, PRODUCT

_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_FORBIDDING: Final = ("baseline", "restricted")
# How the control plane calls a stream that has asked nothing yet.
ANONYMOUS: Final = "a client without a name"
RESTART: Final = "kubectl rollout restart the workloads"


def list_pods(facts: Facts) -> list[Object]:
    """Those of applications, in meshed namespaces, that live."""
    return [
        pod
        for pod in see(see(facts.scope).pods)
        if not is_going(pod) and not is_finished(pod) and read(pod, "labels").get(PART_OF) != PRODUCT
    ]


def read(item: Object, field: str) -> Mapping[str, str]:
    return item["metadata"].get(field) or {}


def settle(facts: Facts) -> Settings:
    """What the injector reckons with, as it was installed."""
    record, place = facts.installed, facts.asked.namespace
    values = {**DEFAULTS, **record.values}
    image = f"{values['image.name']}:{values['image.tag'] or record.version}"
    defaults = {"proxy-image": image, **values["proxy"]}
    settings = Settings(name_control_plane(place, values["clusterDomain"]), SYSTEM_NAMESPACES | {place}, defaults)
    return settings.on_kubernetes(*facts.version)


def list_meshed(facts: Facts) -> list[tuple[Object, Object]]:
    """Pods with their sidecar; Skipped where there are none."""
    found = [(pod, sidecar) for pod in list_pods(facts) if (sidecar := find_sidecar(pod)) is not None]
    if not found:
        raise Skipped("no pod has a sidecar yet")
    return found


def read_pod_wishes(facts: Facts, settings: Settings, pod: Object) -> Wishes:
    namespace = see(facts.scope).namespaces[pod["metadata"]["namespace"]]
    return read_wishes(read(pod, "annotations"), read(namespace, "annotations"), settings.defaults)


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
    """Not where all that is there was admitted since each pod says that it goes without."""
    try:
        if not read_wishes({}, read(namespace, "annotations"), settings.defaults).intercepts:
            return False
        pods = [pod for pod in list_pods(facts) if pod["metadata"]["namespace"] == name]
        return not pods or any(read_pod_wishes(facts, settings, pod).intercepts for pod in pods)
    except Refusal:
        return True


def judge_injected(facts: Facts) -> Finding:
    if facts.is_single:
        return skip("a single-namespace installation has no webhook: mesh inject --manual writes the sidecar")
    bare = list(list_bare(facts))
    if bare:
        return fail(
            f"without a sidecar: {enumerate_some(bare)}",
            f"{RESTART}: pods get it when they are made. If new ones have none, see the injector's Events and log",
        )
    return ok()


def list_bare(facts: Facts) -> Iterator[str]:
    """Pods that the injector would give a sidecar, or would refuse."""
    settings, namespaces = settle(facts), see(facts.scope).namespaces
    for pod in list_pods(facts):
        if find_sidecar(pod) is not None:
            continue
        owners = pod["metadata"].get("ownerReferences") or [{}]
        namespace = namespaces[pod["metadata"]["namespace"]]
        labels, annotations = read(namespace, "labels"), read(namespace, "annotations")
        place = Place(pod["metadata"]["namespace"], labels, annotations, str(owners[0].get("kind", "")))
        outcome = inject(pod, place, settings)
        if outcome.verdict is Verdict.INJECTED:
            yield name_pod(pod)
        elif outcome.verdict is Verdict.REFUSED:
            yield f"{name_pod(pod)} ({outcome.sentence})"


def judge_versions(facts: Facts) -> Finding:
    settings = settle(facts)
    others = [
        f"{name_pod(pod)} has {sidecar['image']}"
        for pod, sidecar in list_meshed(facts)
        if (wanted := find_image(facts, settings, pod)) and wanted != sidecar["image"]
    ]
    if others:
        return warn(f"sidecars of another version: {enumerate_some(others)}", RESTART)
    return ok()


def find_image(facts: Facts, settings: Settings, pod: Object) -> str:
    """Empty where the annotations make no sense, which the injector has said."""
    try:
        return read_pod_wishes(facts, settings, pod).proxy_image
    except Refusal:
        return ""


def judge_readiness(facts: Facts) -> Finding:
    problems = [f"{name_pod(pod)}: {reason}" for pod, _ in list_meshed(facts) if (reason := explain_sidecar(pod))]
    if problems:
        return fail(
            enumerate_some(problems),
            f"kubectl logs -c {PROXY_CONTAINER} POD, and /ready on its port 4191, say what is missing",
        )
    return ok()


def explain_sidecar(pod: Object) -> str:
    """Why the sidecar is not ready; empty where it is."""
    status = next((item for item in list_statuses(pod) if item["name"] == PROXY_CONTAINER), None)
    if status is None:
        return explain(pod) or "the kubelet has not reported on the sidecar"
    return explain_container(status)


def judge_connection(facts: Facts) -> Finding:
    """By what the control plane says. A sidecar gives its name with its first question, so those that have asked
    nothing yet are counted alone."""
    nodes = [str(stream.get("node", "")) for page in see_pages(facts) for stream in page.get("streams") or []]
    ready = [pod["metadata"] for pod, _ in list_meshed(facts) if not explain_sidecar(pod)]
    unnamed = [f"{own['namespace']}/{own['name']}" for own in ready if f"{own['name']}.{own['namespace']}" not in nodes]
    lost = len(unnamed) - nodes.count(ANONYMOUS)
    if lost > 0:
        which = "" if lost == len(unnamed) else f"{lost} of "
        return fail(
            f"the control plane has no stream of {which}{enumerate_some(unnamed)}",
            "they serve what they knew; a sidecar's log and its gossamer_control_connected say more. "
            f"See that no NetworkPolicy keeps pods from {name_control_plane(facts.asked.namespace)}",
        )
    return ok()


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
