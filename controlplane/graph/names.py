"""From what a client asks for to what is meant, as Kubernetes' DNS would find it for a client of a namespace.

A client's name is completed with the search domains of its pod; the first candidate that exists is meant. Only names
that could be one of ours become candidates, so that a hostile name costs one look at it: `NAME.NAMESPACE.svc.DOMAIN`,
`HOSTNAME.NAME.NAMESPACE.svc.DOMAIN`, or an IP.
"""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from controlplane.graph.mesh import DETECT, Mesh, Target, ip_port
from controlplane.graph.protocol import declared

DEFAULT_PORT = 80
MAX_NAME = 253 + len(":65535") + 1  # a DNS name, its last dot, a port
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]+)(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMERIC = re.compile(r"[0-9a-f:.]+")


def candidates(name: str, namespace: str, domain: str) -> tuple[str, ...]:
    """The canonical names that `name` may mean, the likeliest first; none if it cannot be one of ours."""
    split = _split(name)
    if split is None:
        return ()
    host, port = split
    address = _address(host.strip("[]"))
    if address is not None:
        return (ip_port(str(address), port),)
    suffix = f".svc.{domain}"
    if host.endswith("."):
        hosts = [host[:-1]]
    else:
        hosts = [f"{host}.{namespace}{suffix}", f"{host}{suffix}", host]
        if host.endswith(".svc"):
            hosts.insert(2, f"{host}.{domain}")
    return tuple(f"{item}:{port}" for item in hosts if _is_ours(item, suffix))


def lookup(mesh: Mesh, candidate: str) -> Target | None:
    """The target of a canonical name, made for the port if it is a name or a pod that answers at any."""
    target = mesh.targets.get(candidate) or mesh.targets.get(mesh.addresses.get(candidate, ""))
    if target is not None:
        return target
    host, _, digits = candidate.rpartition(":")
    port = _port(digits)
    anywhere = mesh.hosts.get(host)
    if port and anywhere is not None:
        return _at_port(anywhere, candidate, port)
    pod = mesh.pods.get(host.strip("[]"))
    if pod is None or not port or candidate != ip_port(pod.host, port):
        return None
    spoken = declared(mesh.spoken.get(candidate, DETECT), port, mesh.opaque.get(pod.host))
    return Target(candidate, pod.workload.namespace, "", port, protocol=spoken, endpoints=(replace(pod, port=port),))


def resolve(mesh: Mesh, name: str, namespace: str) -> Target | None:
    """What a client of this namespace means by `name`."""
    found = (lookup(mesh, candidate) for candidate in candidates(name, namespace, mesh.domain))
    return next((target for target in found if target is not None), None)


def keys(candidate: str) -> tuple[str, ...]:
    """The keys of which `Graph.update` must name one for `lookup` of this candidate to change."""
    host = candidate.rpartition(":")[0].strip("[]")
    return (candidate, host)


def _split(name: str) -> tuple[str, int] | None:
    """Host (in lower case) and port; None for what is no authority."""
    if len(name) > MAX_NAME or not name.isascii():
        return None
    lower = name.lower()
    address = _address(lower)
    if address is not None:  # an IPv6 address without brackets
        return str(address), DEFAULT_PORT
    match = _AUTHORITY.fullmatch(lower)
    if match is None:
        return None
    port = _port(match[2].lstrip("0")) if match[2] else DEFAULT_PORT
    return (match[1], port) if port else None


def _port(digits: str) -> int:
    """The port in its only canonical spelling; 0 for anything else."""
    port = int(digits) if len(digits) <= 5 and digits.isdecimal() else 0
    return port if port < 65536 and str(port) == digits else 0


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """An IP; the IPv4 one where IPv6 only wraps it, as a dual-stack socket gives it."""
    if not _NUMERIC.fullmatch(host):
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_ours(host: str, suffix: str) -> bool:
    labels = host.removesuffix(suffix).split(".")
    return host.endswith(suffix) and len(labels) in (2, 3) and all(map(_LABEL.fullmatch, labels))


def _at_port(target: Target, name: str, port: int) -> Target:
    external = (target.external[0], port) if target.external else None
    endpoints = tuple([replace(endpoint, port=port) for endpoint in target.endpoints])
    return replace(target, name=name, port=port, external=external, endpoints=endpoints)
