"""Why a pod is left as it is: each reason is a word (a metric's label) and a sentence for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from injector.patch.containers import OUR_VOLUMES
from injector.patch.fields import Fields, Refusal, cut, read_fields, read_items
from injector.patch.place import Place
from injector.patch.settings import Settings
from injector.patch.wishes import Wishes, read_opinion
from mesh.contract import (
    DISABLED,
    ENABLED,
    INBOUND_PORT,
    INIT_CONTAINER,
    INJECT,
    OUR_ANNOTATIONS,
    OUTBOUND_PORT,
    PROXY_CONTAINER,
)

OUR_CONTAINERS = (INIT_CONTAINER, PROXY_CONTAINER)
_MIRROR = "kubernetes.io/config.mirror"
_SYSTEMS = ("kubernetes.io/os", "beta.kubernetes.io/os")  # labels of nodes
# Containers that say that another mesh has the pod's connections.
_OTHERS = {
    "istio-proxy": "Istio",
    "istio-init": "Istio",
    "linkerd-proxy": "Linkerd",
    "linkerd-init": "Linkerd",
    "consul-dataplane": "Consul",
    "kuma-sidecar": "Kuma",
    "kuma-init": "Kuma",
    "osm-init": "Open Service Mesh",
}


class Reason(NamedTuple):
    word: str
    sentence: str


ALREADY = Reason("already", "it has the sidecar already")


def check_network(spec: Fields) -> None:
    """Of all that can be wrong the one that breaks a node: its own connections would be led to a sidecar."""
    if spec.get("hostNetwork") is True and any(item.get("name") in OUR_CONTAINERS for item in all_containers(spec)):
        raise Refusal(
            "hostNetwork together with our containers would lead the node's own connections away: take one of both out "
            "(mesh uninject)"
        )


def find_mirror(annotations: Mapping[str, str]) -> Reason | None:
    """Such a pod may have no token of a ServiceAccount, and to change what stands for it changes nothing."""
    if _MIRROR not in annotations:
        return None
    return Reason("mirror", "it only shows what the kubelet runs by a file of its own (a static pod)")


def find_reason(spec: Fields, opinions: tuple[str, str], place: Place, settings: Settings) -> Reason | None:
    """What speaks against a sidecar, whatever it would be like. `opinions` are of the annotation and the label."""
    return (
        find_opinion(opinions, place)
        or find_namespace(place, settings)
        or find_network(spec)
        or find_other_mesh(spec)
        or (ALREADY if has_sidecar(spec) else None)
    )


def find_opinion(opinions: tuple[str, str], place: Place) -> Reason | None:
    """The nearest word counts: annotation, label, and the same of the namespace; then whether somebody asked."""
    ours = next(filter(None, opinions), "")
    if ours == DISABLED:
        return Reason("opted-out", f"it says {INJECT}: {DISABLED}")
    if ours == ENABLED or place.is_asked:
        return None
    theirs = read_opinion(place.annotations, "annotation of the namespace") or read_opinion(
        place.labels, "label of the namespace"
    )
    if theirs == ENABLED:
        return None
    return Reason("not-asked", f"neither it nor its namespace says {INJECT}: {ENABLED}")


def find_namespace(place: Place, settings: Settings) -> Reason | None:
    if place.namespace not in settings.never:
        return None
    return Reason("namespace", f"the namespace {place.namespace} is never meshed, as the mesh itself depends on it")


def find_network(spec: Fields) -> Reason | None:
    if spec.get("hostNetwork") is True:
        return Reason(
            "host-network", "hostNetwork: its connections are those of the node, which are not to be led away"
        )
    system = read_fields(spec, "os", "spec.").get("name")
    selected = read_fields(spec, "nodeSelector", "spec.")
    if "windows" in (system, *map(selected.get, _SYSTEMS)) or requires_windows(spec):
        return Reason("windows", "it is for Windows nodes, where the sidecar does not run")
    return None


def requires_windows(spec: Fields) -> bool:
    """By affinity: one of the terms must hold, and of a term all expressions."""
    affinity = read_fields(read_fields(spec, "affinity", "spec."), "nodeAffinity", "affinity.")
    required = read_fields(affinity, "requiredDuringSchedulingIgnoredDuringExecution", "nodeAffinity.")
    terms = read_items(required, "nodeSelectorTerms", "nodeAffinity.")
    return bool(terms) and all(
        any(map(is_windows, read_items(term, "matchExpressions", "nodeSelectorTerms."))) for term in terms
    )


def is_windows(expression: Fields) -> bool:
    return (
        expression.get("key") in _SYSTEMS
        and expression.get("operator") == "In"
        and expression.get("values") == ["windows"]
    )


def find_other_mesh(spec: Fields) -> Reason | None:
    for container in all_containers(spec):
        if mesh := _OTHERS.get(str(container.get("name"))):
            return Reason("other-mesh", f"it has {mesh}'s container {container['name']}; two meshes do not share a pod")
    return None


def has_sidecar(spec: Fields) -> bool:
    return any(container.get("name") == PROXY_CONTAINER for container in all_containers(spec))


def find_conflict(spec: Fields, wishes: Wishes) -> Reason | None:
    """What the pod has that the sidecar must have for itself."""
    return (
        (find_same_user(spec, wishes) if wishes.intercepts else None)
        or find_same_port(spec, wishes)
        or find_same_name(spec)
    )


def find_same_user(spec: Fields, wishes: Wishes) -> Reason | None:
    """What runs as the sidecar's user is taken for the sidecar, and is not intercepted."""
    pod_wide = read_fields(spec, "securityContext", "spec.").get("runAsUser")
    for container in all_containers(spec):
        own = read_fields(container, "securityContext", "container.").get("runAsUser")
        if (pod_wide if own is None else own) == wishes.proxy_uid:
            return Reason(
                "same-user",
                f"container {cut(container.get('name'))} runs as user {wishes.proxy_uid}, which is the sidecar's own; "
                f"give one of them another (annotation {OUR_ANNOTATIONS}proxy-uid)",
            )
    return None


def find_same_port(spec: Fields, wishes: Wishes) -> Reason | None:
    ours = {OUTBOUND_PORT, *wishes.admin_ports} | ({INBOUND_PORT} if wishes.intercepts else set())
    for container in all_containers(spec):
        for port in read_items(container, "ports", "container."):
            if port.get("containerPort") in ours and port.get("protocol", "TCP") == "TCP":
                number = port["containerPort"]
                return Reason(
                    "same-port", f"container {cut(container.get('name'))} has port {number}, a port of the sidecar"
                )
    return None


def find_same_name(spec: Fields) -> Reason | None:
    """The API server would refuse the pod with both."""
    for what, items, ours in (
        ("container", all_containers(spec), OUR_CONTAINERS),
        ("volume", read_items(spec, "volumes", "spec."), OUR_VOLUMES),
    ):
        if name := next((item["name"] for item in items if item.get("name") in ours), ""):
            return Reason("same-name", f"it has a {what} {name} of its own, which is what ours is called: rename it")
    return None


def all_containers(spec: Fields) -> Iterator[Fields]:
    """Those of the user and ours alike, in the order of their start."""
    yield from read_items(spec, "initContainers", "spec.")
    yield from read_items(spec, "containers", "spec.")
