"""From an object of the Kubernetes API, as JSON or YAML gives it, to what the mesh uses of it.

The API's defaults are applied here and nowhere else. A malformed object is refused whole, with the field that is
wrong: half an object would be a silent change of what it means.

Whoever may write an object is not therefore allowed to send clients to whatever their hosts can reach: to the machine
itself, its link, the metadata service of a cloud. Such addresses are refused, though on a laptop loopback is a place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from controlplane.model.fields import (
    Fields,
    ObjectError,
    address,
    choice,
    dns_name,
    fields,
    flag,
    items,
    label,
    port,
    shown,
    special,
    text,
    value,
)
from controlplane.model.objects import (
    PODS,
    SERVICES,
    SLICES,
    Key,
    Object,
    Pod,
    Service,
    ServicePort,
    Slice,
    SliceEndpoint,
    SlicePort,
)
from mesh.contract import OUR_ANNOTATIONS, PROXY_CONTAINER
from mesh.ports import OPAQUE_PORTS

SERVICE_NAME = "kubernetes.io/service-name"
TEMPLATE_HASH = "pod-template-hash"
KINDS_BY_NAME = {("v1", "Service"): SERVICES, ("discovery.k8s.io/v1", "EndpointSlice"): SLICES, ("v1", "Pod"): PODS}

_TRANSPORTS = ("TCP", "UDP", "SCTP")
_SERVICE_KINDS = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_CRON_JOB = re.compile(r"(.+)-[0-9]{8,10}")  # a CronJob names its Jobs by the minute (once the second) of the epoch
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # what ends so is an address to the C library: 127.1, 2130706433, 0x7f.1


def read(kind: str, raw: Mapping[str, Any], loopback: bool = True) -> Object:
    """The object of our `kind` (services, endpointslices, pods) in `raw`; `ObjectError` says what is wrong with it.

    `loopback`: endpoints may be on this host, as they are for whoever writes manifests on a laptop.
    """
    try:
        found = _READERS[kind](fields(raw, "the object"))
        _check_places(found, loopback)
        return found
    except ObjectError as error:
        raise ObjectError(f"{_title(kind, raw)}: {error}.") from None


def _check_places(found: Object, loopback: bool) -> None:
    if isinstance(found, Slice) and found.family != "FQDN":
        for endpoint in found.endpoints:
            place = special(endpoint.address)
            if place and not (loopback and place == "loopback"):
                raise ObjectError(f"endpoints[].addresses[] must not be {place}, as {endpoint.address} is")
    elif isinstance(found, Service) and (name := found.external_name):
        if _NUMBER.fullmatch(name.rpartition(".")[2]):
            raise ObjectError(f"spec.externalName must be a DNS name, not an address, as {shown(name)} is")
        if not loopback and (name == "localhost" or name.endswith(".localhost")):
            raise ObjectError(f"spec.externalName must not be loopback, as {shown(name)} is")


def _title(kind: str, raw: Any) -> str:
    metadata = raw.get("metadata") if isinstance(raw, dict) else None
    name, namespace = (metadata.get(key) if isinstance(metadata, dict) else None for key in ("name", "namespace"))
    return f"{kind} {shown(namespace or 'default')}/{shown(name)}".replace("'", "")


def _service(raw: Fields) -> Service:
    namespace, name, metadata = _identity(raw)
    spec = fields(raw.get("spec"), "spec")
    kind = choice(spec.get("type"), "spec.type", _SERVICE_KINDS, "ClusterIP")
    listed = items(spec.get("clusterIPs"), "spec.clusterIPs") or [spec.get("clusterIP") or ""]
    ips = [ip for ip in listed if ip != ""] if kind != "ExternalName" else []
    headless = ips == ["None"]
    cluster_ips = () if headless else tuple([address(ip, "spec.clusterIPs[]") for ip in ips])
    families = [
        choice(item, "spec.ipFamilies[]", ("IPv4", "IPv6")) for item in items(spec.get("ipFamilies"), "spec.ipFamilies")
    ]
    return Service(
        namespace,
        label(name, "metadata.name"),
        kind,
        headless,
        cluster_ips,
        tuple(families) or tuple(["IPv6" if ":" in ip else "IPv4" for ip in cluster_ips]) or ("IPv4",),
        tuple([_service_port(item) for item in items(spec.get("ports"), "spec.ports")]),
        _external_name(spec.get("externalName")) if kind == "ExternalName" else "",
        spec.get("internalTrafficPolicy") == "Local",
        _annotations(metadata),
    )


def _external_name(raw: Any) -> str:
    return dns_name(text(raw, "spec.externalName").lower().removesuffix("."), "spec.externalName")


def _service_port(raw: Any) -> ServicePort:
    item = fields(raw, "spec.ports[]")
    return ServicePort(
        text(item.get("name"), "spec.ports[].name"),
        port(item.get("port"), "spec.ports[].port"),
        choice(item.get("protocol"), "spec.ports[].protocol", _TRANSPORTS, "TCP"),
        text(item.get("appProtocol"), "spec.ports[].appProtocol"),
    )


def _annotations(metadata: Fields) -> tuple[tuple[str, str], ...]:
    annotations = fields(metadata.get("annotations"), "metadata.annotations")
    ours = [key for key in annotations if isinstance(key, str) and key.startswith(OUR_ANNOTATIONS)]
    return tuple(sorted((text(key, "metadata.annotations"), value(annotations[key], ascii(key))) for key in ours))


def _slice(raw: Fields) -> Slice:
    namespace, name, metadata = _identity(raw)
    family = choice(raw.get("addressType"), "addressType", ("IPv4", "IPv6", "FQDN"))
    labels = fields(metadata.get("labels"), "metadata.labels")
    return Slice(
        namespace,
        name,
        text(labels.get(SERVICE_NAME), f"metadata.labels[{SERVICE_NAME}]"),
        family,
        tuple([_slice_port(item) for item in items(raw.get("ports"), "ports")]),
        tuple([_endpoint(item, namespace, family) for item in items(raw.get("endpoints"), "endpoints")]),
    )


def _slice_port(raw: Any) -> SlicePort:
    item = fields(raw, "ports[]")
    number = item.get("port")
    return SlicePort(
        text(item.get("name"), "ports[].name"),
        0 if number is None else port(number, "ports[].port"),
        choice(item.get("protocol"), "ports[].protocol", _TRANSPORTS, "TCP"),
        text(item.get("appProtocol"), "ports[].appProtocol"),
    )


def _endpoint(raw: Any, namespace: str, family: str) -> SliceEndpoint:
    item = fields(raw, "endpoints[]")
    conditions = fields(item.get("conditions"), "endpoints[].conditions")
    ready = flag(conditions.get("ready"), "endpoints[].conditions.ready", True)
    hostname = item.get("hostname")
    key, uid = _pod_reference(item.get("targetRef"), namespace)
    return SliceEndpoint(
        _endpoint_address(items(item.get("addresses"), "endpoints[].addresses"), family),
        ready,
        flag(conditions.get("serving"), "endpoints[].conditions.serving", ready),
        flag(conditions.get("terminating"), "endpoints[].conditions.terminating", False),
        label(hostname, "endpoints[].hostname") if hostname else "",
        text(item.get("nodeName"), "endpoints[].nodeName"),
        text(item.get("zone"), "endpoints[].zone"),
        _hints(item.get("hints")) if item.get("hints") else (),
        key,
        uid,
    )


def _endpoint_address(addresses: Any, family: str) -> str:
    if not addresses:
        raise ObjectError("endpoints[].addresses must hold an address")
    if family == "FQDN":
        return text(addresses[0], "endpoints[].addresses[]")
    found = address(addresses[0], "endpoints[].addresses[]")
    if (":" in found) != (family == "IPv6"):
        raise ObjectError(f"endpoints[].addresses[] must be {family} as addressType says, not {found}")
    return found


def _hints(raw: Any) -> tuple[str, ...]:
    zones = items(fields(raw, "endpoints[].hints").get("forZones"), "endpoints[].hints.forZones")
    name = "endpoints[].hints.forZones[].name"
    return tuple(sorted({text(fields(zone, "endpoints[].hints.forZones[]").get("name"), name) for zone in zones}))


def _pod_reference(raw: Any, namespace: str) -> tuple[Key | None, str]:
    if raw is None:
        return None, ""
    reference = fields(raw, "endpoints[].targetRef")
    if reference.get("kind") != "Pod":
        return None, ""
    name = dns_name(reference.get("name"), "endpoints[].targetRef.name")
    if label(reference.get("namespace"), "endpoints[].targetRef.namespace", namespace) != namespace:
        return None, ""  # nobody lends out a name of another namespace
    return (namespace, name), text(reference.get("uid"), "endpoints[].targetRef.uid")


def _pod(raw: Fields) -> Pod:
    namespace, name, metadata = _identity(raw)
    spec = fields(raw.get("spec"), "spec")
    status = fields(raw.get("status"), "status")
    kind, workload = _workload(metadata, name)
    opaque_ports = fields(metadata.get("annotations"), "metadata.annotations").get(OPAQUE_PORTS)
    return Pod(
        namespace,
        name,
        text(metadata.get("uid"), "metadata.uid"),
        _pod_ips(status),
        text(spec.get("nodeName"), "spec.nodeName"),
        text(spec.get("serviceAccountName"), "spec.serviceAccountName", "default"),
        kind,
        workload,
        _has_proxy(spec.get("containers"), "spec.containers")
        or _has_proxy(spec.get("initContainers"), "spec.initContainers"),
        metadata.get("deletionTimestamp") is not None,
        status.get("phase") in ("Succeeded", "Failed"),
        flag(spec.get("hostNetwork"), "spec.hostNetwork", False),
        None if opaque_ports is None else value(opaque_ports, OPAQUE_PORTS),
    )


def _pod_ips(status: Fields) -> tuple[str, ...]:
    listed = [fields(item, "status.podIPs[]").get("ip") for item in items(status.get("podIPs"), "status.podIPs")]
    ips = [address(ip, "status.podIPs[].ip") for ip in listed or [status.get("podIP")] if ip]
    return tuple(ips) if len(ips) < 2 else tuple(dict.fromkeys(ips))


def _has_proxy(raw: Any, name: str) -> bool:
    return any(fields(item, name).get("name") == PROXY_CONTAINER for item in items(raw, name))


def _workload(metadata: Fields, pod: str) -> tuple[str, str]:
    """Kind and name of what the user deployed: the owner, or the owner's owner where its name tells."""
    owners = [
        fields(item, "metadata.ownerReferences[]")
        for item in items(metadata.get("ownerReferences"), "metadata.ownerReferences")
    ]
    owner = next((item for item in owners if item.get("controller") is True), owners[0] if owners else {})
    kind = text(owner.get("kind"), "metadata.ownerReferences[].kind")
    name = text(owner.get("name"), "metadata.ownerReferences[].name")
    if not name or kind in ("", "Node"):  # a static pod's owner is its node
        return "pod", pod
    if kind == "ReplicaSet":
        labels = fields(metadata.get("labels"), "metadata.labels")
        template_hash = text(labels.get(TEMPLATE_HASH), f"metadata.labels[{TEMPLATE_HASH}]")
        deployment = name.removesuffix(f"-{template_hash}") if template_hash else name
        return ("replicaset", name) if deployment == name else ("deployment", deployment)
    if kind == "Job" and (match := _CRON_JOB.fullmatch(name)):
        return "cronjob", match[1]
    return kind.lower(), name


def _identity(raw: Fields) -> tuple[str, str, Fields]:
    metadata = fields(raw.get("metadata"), "metadata")
    namespace = label(metadata.get("namespace"), "metadata.namespace", "default")
    return namespace, dns_name(metadata.get("name"), "metadata.name"), metadata


_READERS: dict[str, Callable[[Fields], Object]] = {SERVICES: _service, SLICES: _slice, PODS: _pod}
