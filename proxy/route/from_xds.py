"""Listener, RouteConfiguration and Cluster become the model; `assignment` does the same for endpoints.

Read as gRPC and Envoy read them. What concerns other kinds of client (HTTP/2 options, health checks, circuit breakers)
is passed over; what would change where requests go and is not supported is an XdsError. Imported only where there is a
control plane: protobuf's classes take 7 MB.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_components_pb2 import RetryPolicy, Route, RouteAction, RouteMatch, VirtualHost
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf.message import DecodeError

from proxy.route import model
from proxy.route.assignment import read_endpoints, read_flag, read_localities, read_text
from proxy.route.message import XdsError, parse, quote, read_seconds, refuse_others, require_ads
from proxy.route.pattern import PatternError
from proxy.route.regex import compile_regex

__all__ = ["ClusterValue", "ListenerValue", "RouteTable", "XdsError", "read_cluster", "read_endpoints", "read_listener"]
__all__ += ["read_routes"]

MAX_ROUTES = 1_000
MAX_PATTERN_BYTES = 3_000
_DEFAULT_TIMEOUT_S = 15.0  # what xDS says of a route without a timeout
_DEFAULT_CONNECT_TIMEOUT_S = 5.0  # and of a cluster
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
# To try a request again that certainly was not processed, as this sidecar does in any case.
_RETRIES = frozenset(("", "connect-failure", "refused-stream", "reset-before-request"))
# Balancing that knows nothing of a request; ours is better, and the same to whoever asked for one of these.
_LB_POLICIES = (Cluster.ROUND_ROBIN, Cluster.LEAST_REQUEST, Cluster.RANDOM, Cluster.LOAD_BALANCING_POLICY_CONFIG)
_POLICIES = ("LeastRequest", "RoundRobin", "Random", "ClientSideWeightedRoundRobin", "WrrLocality")
_WITH_ADDRESSES = (Cluster.STATIC, Cluster.STRICT_DNS, Cluster.LOGICAL_DNS)

# Fields that are read here, or that say nothing of where requests go.
_CONFIGURATION_FIELDS = frozenset(("name", "virtual_hosts", "metadata", "validate_clusters", "typed_per_filter_config"))
_HOST_FIELDS = frozenset(("name", "domains", "routes", "retry_policy", "metadata", "typed_per_filter_config"))
_ROUTE_FIELDS = frozenset(("name", "match", "route", "metadata", "decorator", "tracing", "stat_prefix"))
_ACTION_FIELDS = frozenset(("cluster", "timeout", "retry_policy", "cluster_not_found_response_code"))
_MATCH_FIELDS = frozenset(("prefix", "path", "safe_regex", "case_sensitive"))
# Fields of a cluster that would change it; the many others are for other kinds of client.
_REFUSED_FIELDS = ("transport_socket", "transport_socket_matches", "cluster_type", "lb_subset_config", "filters")


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A RouteConfiguration: the routes of its virtual hosts, in their order."""

    name: str
    routes: tuple[model.Route, ...]


@dataclass(frozen=True, slots=True)
class ListenerValue:
    """Where the routes are: under `route_name`, or here."""

    route_name: str = ""
    routes: RouteTable | None = None


@dataclass(frozen=True, slots=True)
class ClusterValue:
    """Where the endpoints are: under `endpoints_name`, or here, then perhaps as DNS names."""

    name: str
    connect_timeout_s: float
    endpoints_name: str = ""
    endpoints: tuple[model.Endpoint, ...] = ()
    protocol: str = ""
    by_name: bool = False


# ---- listeners


def read_listener(body: bytes) -> ListenerValue:
    listener = parse(Listener(), body)
    if not listener.HasField("api_listener"):
        raise XdsError("a listener for a sidecar needs an api_listener")
    manager = HttpConnectionManager()
    try:
        is_manager = listener.api_listener.api_listener.Unpack(manager)
    except DecodeError:
        is_manager = False
    if not is_manager:
        raise XdsError("the api_listener must be an HttpConnectionManager")
    check_filters(manager)
    where = manager.WhichOneof("route_specifier")
    if where == "rds":
        require_ads(manager.rds.config_source, "rds")
        if not manager.rds.route_config_name:
            raise XdsError("rds: route_config_name is empty")
        return ListenerValue(manager.rds.route_config_name)
    if where == "route_config":
        return ListenerValue(routes=read_table(manager.route_config))
    raise XdsError(f"routes by {where} are not supported" if where else "the HttpConnectionManager has no routes")


def check_filters(manager: HttpConnectionManager) -> None:
    """The router last (gRFC A39), and nothing else that must act on a request."""
    filters = [item for item in manager.http_filters if not (item.is_optional or item.disabled)]
    names = [item.typed_config.type_url.rpartition("/")[2] for item in filters]
    if not names or names[-1] != _ROUTER:
        raise XdsError("the last HTTP filter must be the router")
    for item, name in zip(filters[:-1], names, strict=False):
        raise XdsError(f"the HTTP filter {quote(item.name or name)} is not supported")


# ---- routes


def read_routes(body: bytes) -> RouteTable:
    return read_table(parse(RouteConfiguration(), body))


def read_table(configuration: RouteConfiguration) -> RouteTable:
    refuse_others(configuration, _CONFIGURATION_FIELDS, "the RouteConfiguration")
    routes: list[model.Route] = []
    seen: set[str] = set()
    for host in configuration.virtual_hosts:
        domains = read_domains(host)
        if not seen.isdisjoint(domains):
            raise XdsError(f"a domain of virtual host {quote(host.name)} belongs to another one too")
        seen.update(domains)
        routes += read_host(host, domains)
        if len(routes) > MAX_ROUTES:
            raise XdsError(f"more than {MAX_ROUTES} routes")
        check_patterns(routes)
    return RouteTable(configuration.name, tuple(routes))


def check_patterns(routes: list[model.Route]) -> None:
    """Many patterns, each of them allowed, would stop the traffic while they are made ready, and at each new path."""
    patterns = {route.path.value for route in routes if route.path.kind == model.REGEX}
    if sum(compile_regex(pattern).size for pattern in patterns) > MAX_PATTERN_BYTES:
        raise XdsError(f"its patterns are too large: all together they may look at {MAX_PATTERN_BYTES} bytes")


def read_domains(host: VirtualHost) -> tuple[str, ...]:
    domains = tuple(domain.lower() for domain in host.domains)
    if not domains:
        raise XdsError(f"virtual host {quote(host.name)} has no domain")
    for domain in domains:
        suffix = domain.removeprefix("*.")
        if domain != "*" and (not suffix or "*" in suffix or not domain.isascii()):
            raise XdsError(f"the domain {quote(domain)} is none of: *, *.SUFFIX, a host")
    return domains


def read_host(host: VirtualHost, domains: tuple[str, ...]) -> list[model.Route]:
    where = f"virtual host {quote(host.name)}"
    refuse_others(host, _HOST_FIELDS, where)
    check_retries(host.retry_policy, where)
    return [
        read_route(route, domains, route.name or f"{host.name}[{index}]") for index, route in enumerate(host.routes)
    ]


def read_route(route: Route, domains: tuple[str, ...], name: str) -> model.Route:
    where = f"route {quote(name)}"
    refuse_others(route, _ROUTE_FIELDS, where)
    if route.WhichOneof("action") != "route":
        raise XdsError(f"{where} leads to no cluster")
    refuse_others(route.route, _ACTION_FIELDS, where)
    if not route.route.cluster:
        raise XdsError(f"{where} names no cluster")
    check_retries(route.route.retry_policy, where)
    return model.Route(name, domains, read_match(route.match, where), route.route.cluster, read_timeout(route.route))


def read_match(match: RouteMatch, where: str) -> model.PathMatch:
    refuse_others(match, _MATCH_FIELDS, where)
    if match.HasField("case_sensitive") and not match.case_sensitive.value:
        raise XdsError(f"{where}: paths cannot be compared without regard to case")
    kind = match.WhichOneof("path_specifier")
    if kind == "prefix":
        return model.PathMatch(model.PREFIX, match.prefix)
    if kind == "path":
        return model.PathMatch(model.EXACT, match.path)
    if kind != "safe_regex":
        raise XdsError(f"{where} matches no path")
    try:
        compile_regex(match.safe_regex.regex)
    except PatternError as error:
        raise XdsError(f"{where}: the pattern {quote(match.safe_regex.regex)} cannot be used: {error}") from None
    return model.PathMatch(model.REGEX, match.safe_regex.regex)


def read_timeout(action: RouteAction) -> float | None:
    if not action.HasField("timeout"):
        return _DEFAULT_TIMEOUT_S
    return read_seconds(action.timeout, "timeout") or None


def check_retries(policy: RetryPolicy, where: str) -> None:
    """Refuse to try again what may have been processed: that is a policy of its own."""
    others = {condition.strip() for condition in policy.retry_on.split(",")} - _RETRIES
    if others:
        raise XdsError(f"{where}: to retry on {quote(min(others))} is not supported")


# ---- clusters


def read_cluster(body: bytes) -> ClusterValue:
    cluster = parse(Cluster(), body)
    if not cluster.name:
        raise XdsError("the cluster has no name")
    where = f"cluster {quote(cluster.name)}"
    for field, _ in cluster.ListFields():
        if field.name in _REFUSED_FIELDS:
            raise XdsError(f"{where}: {field.name} is not supported")
    check_balancing(cluster, where)
    timeout_s = _DEFAULT_CONNECT_TIMEOUT_S
    if cluster.HasField("connect_timeout"):
        timeout_s = read_seconds(cluster.connect_timeout, where)
        if not timeout_s:
            raise XdsError(f"{where}: connect_timeout must be above 0")
    protocol = model.PROTOCOLS.get(read_text(cluster.metadata, "protocol"), "")
    by_name = read_flag(cluster.metadata, "by_name")
    if cluster.type == Cluster.EDS:
        require_ads(cluster.eds_cluster_config.eds_config, where)
        service = cluster.eds_cluster_config.service_name or cluster.name
        return ClusterValue(cluster.name, timeout_s, service, protocol=protocol, by_name=by_name)
    if cluster.type not in _WITH_ADDRESSES:
        raise XdsError(f"{where}: its type is not supported")
    endpoints = read_localities(cluster.load_assignment)
    return ClusterValue(cluster.name, timeout_s, endpoints=endpoints, protocol=protocol, by_name=by_name)


def check_balancing(cluster: Cluster, where: str) -> None:
    """A policy that chooses by the request (a hash) is not what happens here."""
    policies = [policy.typed_extension_config.typed_config for policy in cluster.load_balancing_policy.policies]
    if policies:
        if not any_known(policy.type_url for policy in policies):
            raise XdsError(f"{where}: none of its load balancing policies is supported")
    elif cluster.lb_policy not in _LB_POLICIES:
        raise XdsError(f"{where}: its load balancing policy is not supported")


def any_known(type_urls: Iterable[str]) -> bool:
    return any(type_url.rpartition(".")[2] in _POLICIES for type_url in type_urls)
