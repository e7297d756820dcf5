"""What can be called, and where it is: the result of `graph.build`, the input of `translate`.

A `Target` is one port of one Service (or one pod of it, by its hostname or IP), under its canonical name
`NAME.NAMESPACE.svc.DOMAIN:PORT` (`POD.NAME.NAMESPACE.svc.DOMAIN:PORT`; `IP:PORT`, IPv6 in brackets).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.ports import Ports

# Protocols, from appProtocol or the prefix of the port's name; DETECT where neither says. NOT_OPAQUE is detected too,
# even at a port whose number alone would make it opaque.
GRPC, HTTP2, HTTP1, TLS, TCP, DETECT, NOT_OPAQUE = "grpc", "http2", "http", "tls", "tcp", "", "detect"


@dataclass(frozen=True, slots=True, order=True)
class Workload:
    """Who runs behind an address: what endpoints of a locality share. Empty strings where it is not known."""

    namespace: str = ""
    kind: str = ""  # deployment, statefulset, daemonset, job, cronjob, replicaset, pod, in lower case
    name: str = ""
    service_account: str = ""
    meshed: bool = False


UNKNOWN = Workload()


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """`host` is an IP address; `zones` are those that topology hints name (empty: no hint).

    `late`: it terminates, and is meant for its own node alone, which has no other (`Target.local_only`).
    """

    host: str
    port: int
    pod: str = ""
    node: str = ""
    zone: str = ""
    zones: tuple[str, ...] = ()
    workload: Workload = UNKNOWN
    late: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """`endpoints` are those that may get requests, sorted and unique by address. `external` is (DNS name, port).

    `by_name`: a client that dials one of the endpoints by its IP, in this target's name, means all of them.
    """

    name: str
    namespace: str
    service: str
    port: int
    port_name: str = ""
    protocol: str = DETECT
    by_name: bool = False
    local_only: bool = False
    cluster_ips: tuple[str, ...] = ()
    external: tuple[str, int] | None = None
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Mesh:
    """`targets` by canonical name; `addresses` from cluster `IP:PORT` to that name; `pods` from IP to who it is.

    `hosts` are the names that answer at any port, as in DNS: headless Services, their pods by hostname, ExternalNames.
    Port 0, in them and in `pods`, stands for the port that is asked for; `names.lookup` puts it in. `spoken` is what
    Services say of their endpoints' `IP:PORT`, where they agree, and `opaque` what pods say of their ports, by IP; both
    only where something is said. The order of these tables means nothing.
    """

    domain: str = "cluster.local"
    targets: Mapping[str, Target] = field(default_factory=dict)
    addresses: Mapping[str, str] = field(default_factory=dict)
    pods: Mapping[str, Endpoint] = field(default_factory=dict)
    hosts: Mapping[str, Target] = field(default_factory=dict)  # by canonical name without the port
    spoken: Mapping[str, str] = field(default_factory=dict)
    opaque: Mapping[str, Ports] = field(default_factory=dict)


def ip_port(address: str, port: int) -> str:
    """`IP:PORT`, with IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
