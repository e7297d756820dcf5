from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.load_balancing_policies.least_request.v3.least_request_pb2 import LeastRequest
from envoy.extensions.load_balancing_policies.ring_hash.v3.ring_hash_pb2 import RingHash
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from proxy.route.from_xds import (
    MAX_ROUTES,
    ClusterValue,
    ListenerValue,
    RouteTable,
    XdsError,
    read_cluster,
    read_endpoints,
    read_listener,
    read_routes,
)
from proxy.route.model import ANY_PATH, EXACT, PREFIX, REGEX, Endpoint, PathMatch, Route
from tests.unit.proxy.route.assignments import CLUSTER_OF_TWO

ADS = {"ads": {}, "resource_api_version": "V3"}
TO_A = {"cluster": "a", "timeout": {"seconds": 0}}


def pack(message: Message) -> Packed:
    packed = Packed()
    packed.Pack(message)
    return packed


ROUTER = {"name": "router", "typed_config": pack(Router())}


def listener(**manager: Any) -> bytes:
    given = {"http_filters": [ROUTER], **manager}
    api_listener = {"api_listener": pack(HttpConnectionManager(**given))}
    return Listener(name="voting:8080", api_listener=api_listener).SerializeToString()


def rds(name: str = "voting.emojivoto", source: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"route_config_name": name, "config_source": ADS if source is None else source}


def table(*routes: dict[str, Any], domains: tuple[str, ...] = ("*",), **host: Any) -> bytes:
    hosts = [{"name": "voting", "domains": domains, "routes": routes, **host}]
    return RouteConfiguration(name="voting.emojivoto", virtual_hosts=hosts).SerializeToString()


def cluster(**fields: Any) -> bytes:
    given: dict[str, Any] = {"name": "a", "type": "EDS", "eds_cluster_config": {"eds_config": ADS}, **fields}
    return Cluster(**{name: value for name, value in given.items() if value is not None}).SerializeToString()


# ---- listeners


def test_a_listener_names_its_routes() -> None:
    assert read_listener(listener(rds=rds())) == ListenerValue("voting.emojivoto")


def test_a_listener_has_its_routes() -> None:
    body = listener(route_config=RouteConfiguration.FromString(table({"match": {"prefix": ""}, "route": TO_A})))
    found = read_listener(body).routes
    assert found == RouteTable("voting.emojivoto", (Route("voting[0]", ("*",), ANY_PATH, "a"),))


def test_optional_and_disabled_filters_are_passed_over() -> None:
    more = [{"name": "wasm", "is_optional": True}, {"name": "fault", "disabled": True}]
    assert read_listener(listener(rds=rds(), http_filters=[*more, ROUTER])).route_name == "voting.emojivoto"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (Listener(name="x").SerializeToString(), "needs an api_listener"),
        (Listener(api_listener={"api_listener": pack(Router())}).SerializeToString(), "must be an HttpConnection"),
        (listener(rds=rds(), http_filters=[]), "the last HTTP filter must be the router"),
        (listener(rds=rds(), http_filters=[ROUTER, {"name": "fault"}]), "the last HTTP filter must be the router"),
        (listener(rds=rds(), http_filters=[{"name": "jwt"}, ROUTER]), "the HTTP filter 'jwt' is not supported"),
        (listener(rds=rds(source={"path": "/x"})), "rds: its source must be ADS"),
        (listener(rds=rds("")), "route_config_name is empty"),
        (listener(), "has no routes"),
        (listener(scoped_routes={"name": "x"}), "routes by scoped_routes are not supported"),
    ],
)
def test_listeners_that_are_refused(body: bytes, problem: str) -> None:
    with pytest.raises(XdsError, match=problem):
        read_listener(body)


# ---- routes


def test_routes_keep_their_order_and_their_domains() -> None:
    found = read_routes(
        table(
            {"name": "all", "match": {"prefix": "/"}, "route": TO_A},
            {"match": {"path": "/x"}, "route": {"cluster": "b", "timeout": {"seconds": 1, "nanos": 500_000_000}}},
            {"match": {"safe_regex": {"regex": "/v[0-9]+/.*"}, "case_sensitive": {"value": True}}, "route": TO_A},
            domains=("Voting:8080", "*.example.com"),
        )
    )
    domains = ("voting:8080", "*.example.com")
    assert found.routes == (
        Route("all", domains, PathMatch(PREFIX, "/"), "a"),
        Route("voting[1]", domains, PathMatch(EXACT, "/x"), "b", 1.5),
        Route("voting[2]", domains, PathMatch(REGEX, "/v[0-9]+/.*"), "a"),
    )


def test_a_route_without_a_timeout_has_that_of_xds() -> None:
    found = read_routes(table({"match": {"prefix": ""}, "route": {"cluster": "a"}}))
    assert found.routes[0].timeout_s == 15.0


def test_retries_of_what_was_not_processed_are_what_happens_anyway() -> None:
    retry = {"retry_on": "connect-failure,refused-stream", "num_retries": {"value": 2}}
    assert read_routes(table({"match": {"prefix": ""}, "route": {**TO_A, "retry_policy": retry}})).routes


ROUTE = {"match": {"prefix": ""}, "route": TO_A}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (table({"match": {"prefix": ""}, "redirect": {"host_redirect": "x"}}), "redirect is not supported"),
        (table({"match": {"prefix": ""}}), "leads to no cluster"),
        (table({"match": {"prefix": ""}, "route": {"timeout": {}}}), "names no cluster"),
        (table({"match": {"prefix": ""}, "route": {"cluster_header": "x"}}), "cluster_header is not supported"),
        (
            table({"match": {"prefix": ""}, "route": {"weighted_clusters": {"clusters": [{"name": "a"}]}}}),
            "weighted_clusters is not supported",
        ),
        (table({"match": {"prefix": ""}, "route": {**TO_A, "prefix_rewrite": "/"}}), "prefix_rewrite is not"),
        (table({"match": {"prefix": "", "headers": [{"name": "x"}]}, "route": TO_A}), "headers is not supported"),
        (table({"match": {"prefix": "", "case_sensitive": {}}, "route": TO_A}), "without regard to case"),
        (table({"match": {}, "route": TO_A}), "matches no path"),
        (table({"match": {"safe_regex": {"regex": "("}}, "route": TO_A}), "cannot be used: at character 2"),
        (table({**ROUTE, "route": {**TO_A, "timeout": {"seconds": -1}}}), "the duration of -1 s"),
        (table({**ROUTE, "route": {**TO_A, "timeout": {"nanos": 10**9}}}), "and 1000000000 ns is none"),
        (table({**ROUTE, "route": {**TO_A, "retry_policy": {"retry_on": "5xx"}}}), "retry on '5xx'"),
        (table(ROUTE, retry_policy={"retry_on": "gateway-error"}), "retry on 'gateway-error'"),
        (table(ROUTE, domains=()), "has no domain"),
        (table(ROUTE, domains=("*-x.com",)), "is none of"),
        (table(ROUTE, domains=("x.*",)), "is none of"),
        (table(ROUTE, domains=("*.",)), "is none of"),
        (RouteConfiguration(request_headers_to_remove=["x"]).SerializeToString(), "headers_to_remove is not"),
        (
            RouteConfiguration(virtual_hosts=[{"name": n, "domains": ["*"]} for n in "ab"]).SerializeToString(),
            "a domain of virtual host 'b' belongs to another",
        ),
    ],
)
def test_routes_that_are_refused(body: bytes, problem: str) -> None:
    with pytest.raises(XdsError, match=problem):
        read_routes(body)


def test_more_routes_than_a_sidecar_should_look_through() -> None:
    route = {"match": {"prefix": ""}, "route": TO_A}
    assert len(read_routes(table(*[route] * MAX_ROUTES)).routes) == MAX_ROUTES
    with pytest.raises(XdsError, match="more than 1000 routes"):
        read_routes(table(*[route] * (MAX_ROUTES + 1)))


def test_patterns_are_bounded_all_together() -> None:
    def some(count: int) -> bytes:
        patterns = [f"/{number:03}" + ".?" * 100 for number in range(count)]
        return table(*[{"match": {"safe_regex": {"regex": pattern}}, "route": TO_A} for pattern in patterns])

    assert len(read_routes(some(10)).routes) == 10
    with pytest.raises(XdsError, match="patterns are too large"):
        read_routes(some(40))


# ---- clusters


def test_a_cluster_names_its_endpoints() -> None:
    config = {"eds_config": {"self": {}}, "service_name": "svc"}
    assert read_cluster(cluster(connect_timeout={"seconds": 1}, eds_cluster_config=config)) == ClusterValue(
        "a", 1.0, "svc"
    )
    assert read_cluster(cluster()) == ClusterValue("a", 5.0, "a")


@pytest.mark.parametrize(
    ("word", "protocol"),
    [
        ("grpc", "http2"),
        ("http", "http"),
        ("tcp", "tcp"),
        ("tls", "detect"),
        ("detect", "detect"),
        ("new", ""),
        ("", ""),
    ],
)
def test_a_cluster_says_what_its_port_speaks(word: str, protocol: str) -> None:
    told = Struct()
    told.update({"protocol": word, "by_name": True})
    found = read_cluster(cluster(metadata={"filter_metadata": {"gossamer.mesh": told}}))
    assert (found.protocol, found.by_name) == (protocol, True)


def test_a_cluster_has_its_endpoints_as_names() -> None:
    address = {"socket_address": {"address": "Example.COM", "port_value": 443}}
    assignment = {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]}
    found = read_cluster(cluster(type="LOGICAL_DNS", eds_cluster_config=None, load_assignment=assignment))
    assert found == ClusterValue("a", 5.0, endpoints=(Endpoint("example.com", 443),))


def policies(*messages: Message) -> dict[str, Any]:
    return {"policies": [{"typed_extension_config": {"name": "x", "typed_config": pack(each)}} for each in messages]}


def test_a_policy_that_is_known_is_enough() -> None:
    assert read_cluster(cluster(lb_policy="RING_HASH", load_balancing_policy=policies(RingHash(), LeastRequest())))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (cluster(name=""), "has no name"),
        (cluster(type="ORIGINAL_DST"), "its type is not supported"),
        (cluster(eds_cluster_config={}), "its source must be ADS"),
        (cluster(lb_policy="MAGLEV"), "its load balancing policy is not supported"),
        (cluster(load_balancing_policy=policies(RingHash())), "none of its load balancing policies"),
        (cluster(transport_socket={"name": "tls"}), "transport_socket is not supported"),
        (cluster(connect_timeout={}), "connect_timeout must be above 0"),
    ],
)
def test_clusters_that_are_refused(body: bytes, problem: str) -> None:
    with pytest.raises(XdsError, match=problem):
        read_cluster(body)


# ---- anything

SAMPLES: list[tuple[Callable[[bytes], object], bytes]] = [
    (read_listener, listener(rds=rds())),
    (read_listener, listener(route_config=RouteConfiguration.FromString(table(ROUTE)))),
    (read_routes, table(ROUTE, {"match": {"safe_regex": {"regex": "/v[0-9]{1,3}/(a|b)*"}}, "route": TO_A})),
    (read_cluster, cluster(connect_timeout={"seconds": 1}, load_balancing_policy=policies(LeastRequest()))),
    (read_endpoints, CLUSTER_OF_TWO),
]


def accepts_or_refuses(read: Callable[[bytes], object], body: bytes) -> bool:
    """Whatever else it raises fails the test."""
    problem = None
    try:
        read(body)
    except XdsError as error:
        problem = str(error)
    assert problem is None or (problem and "\n" not in problem)
    return problem is None


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_damaged_messages_are_read_or_refused(number: int) -> None:
    read, body = SAMPLES[number]
    assert accepts_or_refuses(read, body)
    rng = random.Random(number)
    refused = 0
    for _ in range(3_000):
        damaged = bytearray(body)
        for _ in range(rng.choice((1, 1, 2, 8))):
            way = rng.randrange(3)
            at = rng.randrange(len(damaged) + 1)
            if way == 0 and at < len(damaged):
                damaged[at] = rng.randrange(256)
            elif way == 1:
                del damaged[at : at + rng.randrange(1, 5)]
            else:
                damaged[at:at] = rng.randbytes(rng.randrange(1, 5))
        refused += not accepts_or_refuses(read, bytes(damaged))
    assert refused > 100


@pytest.mark.parametrize("read", [read_listener, read_routes, read_cluster, read_endpoints])
def test_random_bytes_are_refused(read: Callable[[bytes], object]) -> None:
    rng = random.Random(1)
    for length in range(1, 400):
        accepts_or_refuses(read, rng.randbytes(length))
    assert not accepts_or_refuses(read, b"\xff" * 100)
