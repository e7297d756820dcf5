"""What the sidecar and the control plane say to each other, as values; `wire` knows their bytes.

The incremental variant of ADS (the xDS protocol's "Incremental xDS"): subscriptions and versions by name, one nonce for
each response. Only what a sidecar uses is here: no aliases, no TTLs, no locators.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_PREFIX = "type.googleapis.com/envoy.config."
LISTENER = _PREFIX + "listener.v3.Listener"
ROUTE = _PREFIX + "route.v3.RouteConfiguration"
CLUSTER = _PREFIX + "cluster.v3.Cluster"
ENDPOINTS = _PREFIX + "endpoint.v3.ClusterLoadAssignment"
TYPES = (LISTENER, ROUTE, CLUSTER, ENDPOINTS)


@dataclass(frozen=True, slots=True)
class Node:
    """Who asks. `id` is POD.NAMESPACE; the others decide what the answer is."""

    id: str
    namespace: str
    zone: str = ""
    node_name: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as it came: `type_url` is what the packed message says of itself, `body` the message."""

    name: str
    version: str
    type_url: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """DeltaDiscoveryRequest: a subscription, or the answer to the response with this nonce; an `error` refuses it."""

    type_url: str
    subscribe: tuple[str, ...] = ()
    unsubscribe: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    nonce: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """DeltaDiscoveryResponse."""

    type_url: str
    nonce: str
    resources: tuple[Resource, ...] = ()
    removed: tuple[str, ...] = ()
