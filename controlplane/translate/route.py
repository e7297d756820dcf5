"""RouteConfigurations: one per target with a single route, and the parts of the one with everything for an Envoy.

Only what was certainly not processed is tried again. There is no timeout: that is the client's own.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.route.v3.route_components_pb2 import Route, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate

from controlplane.translate.cluster import packed

RETRIES = 2


def _route() -> Route:
    route = Route()
    route.match.prefix = ""
    route.route.timeout.seconds = 0
    route.route.retry_policy.retry_on = "connect-failure,refused-stream"
    route.route.retry_policy.num_retries.value = RETRIES
    return route


def _outbound_route() -> Route:
    """Envoy would otherwise retry on the endpoint that has just failed."""
    route = _route()
    policy = route.route.retry_policy
    policy.retry_on += ",reset-before-request"
    previous = "envoy.retry_host_predicates.previous_hosts"
    policy.retry_host_predicate.add(name=previous, typed_config=packed(PreviousHostsPredicate()))
    policy.host_selection_retry_max_attempts = 3
    return route


_ROUTE = _route()
_OUTBOUND_ROUTE = _outbound_route()


def route_configuration(target: str) -> RouteConfiguration:
    message = RouteConfiguration(name=target)
    _route_to(message.virtual_hosts.add(name=target, domains=["*"]), target, _ROUTE)
    return message


def outbound_host(target: str, domains: Iterable[str]) -> RouteConfiguration:
    """Only this virtual host."""
    message = RouteConfiguration()
    _route_to(message.virtual_hosts.add(name=target, domains=domains), target, _OUTBOUND_ROUTE)
    return message


def _route_to(host: VirtualHost, cluster: str, template: Route) -> None:
    route = host.routes.add()
    route.CopyFrom(template)
    route.route.cluster = cluster
