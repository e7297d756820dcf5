"""A ClusterLoadAssignment becomes endpoints: those that may get requests, each with its share and who runs there.

xDS gives a locality's weight to all of it, and divides it among its endpoints by theirs; so where each locality weighs
as many as it has endpoints, all are equal. Of the priorities, the first that has endpoints is used.
"""

from __future__ import annotations

import math
from functools import lru_cache
from ipaddress import ip_address

from envoy.config.core.v3.address_pb2 import SocketAddress
from envoy.config.core.v3.base_pb2 import Metadata
from envoy.config.core.v3.health_check_pb2 import HEALTHY, UNKNOWN
from envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from mesh.contract import METADATA
from proxy.route.message import XdsError, parse, quote
from proxy.route.model import UNKNOWN_WORKLOAD, Endpoint, Workload

_USABLE = (UNKNOWN, HEALTHY)
# The heaviest endpoint's weight where they differ: the balancer wants small integers.
_MAX_WEIGHT = 1_000
_MAX_NAME_CHARS = 253

Share = tuple[float, Endpoint]


def read_endpoints(body: bytes) -> tuple[Endpoint, ...]:
    """The endpoints of an EDS resource, whose addresses are IP addresses; each address once."""
    assignment = parse(ClusterLoadAssignment(), body)
    endpoints = read_localities(assignment)
    for endpoint in endpoints:
        if normalise(endpoint.host) is None:
            raise XdsError(f"{quote(endpoint.host)} is no IP address")
    return endpoints


def read_localities(assignment: ClusterLoadAssignment) -> tuple[Endpoint, ...]:
    """The same of any assignment: one of a DNS cluster has names."""
    if assignment.policy.drop_overloads:
        raise XdsError("drop_overloads is not supported")
    is_weighted = any(locality.load_balancing_weight.value for locality in assignment.endpoints)
    by_priority: dict[int, list[Share]] = {}
    for locality in assignment.endpoints:
        weight = locality.load_balancing_weight.value if is_weighted else 0
        shares = read_locality(locality, weight)
        if shares and (weight or not is_weighted):  # a locality without a weight gets nothing beside weighted ones
            by_priority.setdefault(locality.priority, []).extend(shares)
    return weigh(by_priority[min(by_priority)]) if by_priority else ()


def read_locality(locality: LocalityLbEndpoints, weight: int) -> list[Share]:
    """Usable endpoints. The unhealthy count when the weight is divided, so what was theirs is not the others' load."""
    if locality.WhichOneof("lb_config") is not None:
        raise XdsError("endpoints apart from their assignment (LEDS) are not supported")
    workload = read_workload(locality.metadata)
    weights = [read_weight(item) for item in locality.lb_endpoints]
    unit = weight / sum(weights) if weight and weights else 1.0
    return [
        (own * unit, read_endpoint(item, workload))
        for own, item in zip(weights, locality.lb_endpoints, strict=True)
        if item.health_status in _USABLE
    ]


def read_weight(item: LbEndpoint) -> int:
    if not item.HasField("load_balancing_weight"):
        return 1
    if not item.load_balancing_weight.value:
        raise XdsError("the weight of an endpoint must be above 0")
    return int(item.load_balancing_weight.value)


def read_endpoint(item: LbEndpoint, workload: Workload) -> Endpoint:
    where = item.endpoint.address
    kind = where.WhichOneof("address")
    if kind != "socket_address":
        raise XdsError(f"an endpoint without a socket_address ({kind or 'without any address'}) is not supported")
    address = where.socket_address
    port = address.port_value
    if address.protocol != SocketAddress.TCP or address.resolver_name or not 0 < port <= 65_535:
        raise XdsError(f"the endpoint {quote(address.address)} needs a TCP port from 1 to 65535")
    host = normalise(address.address) or address.address.lower()
    if not host or len(host) > _MAX_NAME_CHARS or not host.isascii() or not host.isprintable():
        raise XdsError(f"{quote(address.address)} is no address")
    return Endpoint(host, port, 1, read_text(item.metadata, "pod"), workload)


@lru_cache(maxsize=4096)
def normalise(host: str) -> str | None:
    """One spelling of an IP address, so that equal ones are seen to be; None where it is none.

    Remembered, since of hundreds of endpoints few are other than a moment ago.
    """
    try:
        return str(ip_address(host)) if "%" not in host else None
    except ValueError:
        return None


def read_workload(metadata: Metadata) -> Workload:
    namespace, kind, name, account = (
        read_text(metadata, field) for field in ("namespace", "kind", "workload", "service_account")
    )
    if namespace or kind or name or account:
        return Workload(namespace, kind, name, account)
    return UNKNOWN_WORKLOAD


def read_text(metadata: Metadata, name: str) -> str:
    told = metadata.filter_metadata
    if METADATA not in told:
        return ""
    fields = told[METADATA].fields
    return fields[name].string_value if name in fields else ""


def read_flag(metadata: Metadata, name: str) -> bool:
    told = metadata.filter_metadata
    return METADATA in told and name in told[METADATA].fields and told[METADATA].fields[name].bool_value


def weigh(shares: list[Share]) -> tuple[Endpoint, ...]:
    """Turn shares into small integers, and twice the same address into one with the shares of both."""
    totals: dict[tuple[str, int], float] = {}
    first: dict[tuple[str, int], Endpoint] = {}
    for share, endpoint in shares:
        key = (endpoint.host, endpoint.port)
        totals[key] = totals.get(key, 0.0) + share
        first.setdefault(key, endpoint)
    heaviest = max(totals.values())
    weights = [max(1, round(_MAX_WEIGHT * share / heaviest)) for share in totals.values()]
    divisor = math.gcd(*weights)
    if divisor == _MAX_WEIGHT:
        return tuple(first.values())
    return tuple(
        Endpoint(endpoint.host, endpoint.port, weight // divisor, endpoint.pod, endpoint.workload)
        for weight, endpoint in zip(weights, first.values(), strict=True)
    )
