"""Pods that are meshed, or are to be, and the checks of their sidecars: current and ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from injector.patch import Outcome, Place, Settings, inject
from injector.patch.fields import Refusal
from injector.patch.wishes import Wishes, read_wishes
from mesh.check.facts import Facts, Object, Skipped, Unseen, see
from mesh.check.line import Finding, enumerate_some, fail, ok, warn
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
from mesh.install.injection import make_settings
from mesh.install.parts.common import PART_OF, PRODUCT
from mesh.version import VERSION

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
    """What the injector reckons with, as it was installed; where that may not be seen, as it is by default."""
    place = facts.asked.namespace
    try:
        if isinstance(facts.record, Unseen):
            return make_settings({}, place, VERSION).on_kubernetes(*facts.version)
        record = facts.installed
        return make_settings(record.values, place, record.version).on_kubernetes(*facts.version)
    except Refusal as refusal:
        raise Skipped(f"what is installed is not known to this version: {refusal}") from None


def try_injection(facts: Facts, settings: Settings, pod: Object) -> Outcome:
    """What the injector would make of this pod, or template, if it came now."""
    name = pod["metadata"]["namespace"]
    namespace = see(facts.scope).namespaces[name]
    owners = pod["metadata"].get("ownerReferences") or [{}]
    place = Place(name, read(namespace, "labels"), read(namespace, "annotations"), str(owners[0].get("kind", "")))
    return inject(pod, place, settings)


def list_meshed(facts: Facts) -> list[tuple[Object, Object]]:
    """Pods with their sidecar; Skipped where there are none."""
    found = [(pod, sidecar) for pod in list_pods(facts) if (sidecar := find_sidecar(pod)) is not None]
    if not found:
        raise Skipped("no pod has a sidecar yet")
    return found


def read_pod_wishes(facts: Facts, settings: Settings, pod: Object) -> Wishes:
    namespace = see(facts.scope).namespaces[pod["metadata"]["namespace"]]
    return read_wishes(read(pod, "annotations"), read(namespace, "annotations"), settings.defaults)


def judge_versions(facts: Facts) -> Finding:
    see(facts.record)
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
