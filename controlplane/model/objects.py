"""What the mesh uses of each Kubernetes object. Equal objects compare equal, so that a change of nothing is seen.

Names follow the Kubernetes API (v1 Service and Pod, discovery.k8s.io/v1 EndpointSlice) in Python's spelling. Defaults
of the API (a null `ready` is true) are applied while reading, so that nobody asks twice.
"""

from __future__ import annotations

from dataclasses import dataclass

Key = tuple[str, str]  # (namespace, name)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """`protocol` is TCP, UDP or SCTP; `app_protocol` as written, empty where there is none."""

    name: str
    port: int
    protocol: str = "TCP"
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """`kind` is the API's `type`. `cluster_ips` is empty for a headless or external Service."""

    namespace: str
    name: str
    kind: str = "ClusterIP"
    headless: bool = False
    cluster_ips: tuple[str, ...] = ()
    ip_families: tuple[str, ...] = ("IPv4",)
    ports: tuple[ServicePort, ...] = ()
    external_name: str = ""
    local_only: bool = False  # internalTrafficPolicy: Local
    annotations: tuple[tuple[str, str], ...] = ()  # those of ours (config.gossamer.mesh/*), sorted

    @property
    def key(self) -> Key:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class SlicePort:
    """`name` is the Service port's name, the join between the two; 0 where the slice leaves the port open."""

    name: str
    port: int
    protocol: str = "TCP"
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class SliceEndpoint:
    """`address` is the first of `addresses`, the only one with a meaning. `pod_uid` is empty without a pod."""

    address: str
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    hostname: str = ""
    node: str = ""
    zone: str = ""
    hints: tuple[str, ...] = ()  # zones that this endpoint is meant for, sorted
    pod: Key | None = None
    pod_uid: str = ""


@dataclass(frozen=True, slots=True)
class Slice:
    """An EndpointSlice. `service` is its label kubernetes.io/service-name; `family` IPv4, IPv6 or FQDN."""

    namespace: str
    name: str
    service: str
    family: str
    ports: tuple[SlicePort, ...]
    endpoints: tuple[SliceEndpoint, ...]

    @property
    def key(self) -> Key:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Pod:
    """`terminating` is true from deletionTimestamp on; `finished` when its phase is Succeeded or Failed.

    `workload` is the owner's name less the pod-template-hash (a Job's: its CronJob's), of kind `workload_kind`.
    `workload_kind` is in lower case (deployment, statefulset, ..., pod). `meshed` says whether it has our sidecar. A
    pod of the host's network shares its IPs with the node and with others, so an IP alone never means it.
    `opaque_ports` is its annotation, None where it has none.
    """

    namespace: str
    name: str
    uid: str
    ips: tuple[str, ...] = ()
    node: str = ""
    service_account: str = "default"
    workload_kind: str = ""
    workload: str = ""
    meshed: bool = False
    terminating: bool = False
    finished: bool = False
    host_network: bool = False
    opaque_ports: str | None = None

    @property
    def key(self) -> Key:
        return self.namespace, self.name


Object = Service | Slice | Pod
SERVICES, SLICES, PODS = "services", "endpointslices", "pods"  # the kinds, by their plural as in the API's paths
