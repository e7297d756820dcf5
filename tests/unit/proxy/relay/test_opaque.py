"""Ways of raw connections: which endpoint, how often another one, and what the balancer learns."""

from __future__ import annotations

import random

import pytest

from proxy.balance.endpoint import Endpoint as Balanced
from proxy.relay.opaque import MAX_ATTEMPTS, BalancedWay, DirectWay, OpaqueCluster
from proxy.route.model import Endpoint

RNG = random.Random(1).random


def make_cluster(*hosts: str) -> OpaqueCluster:
    cluster = OpaqueCluster("db")
    cluster.replace([Endpoint(host, 5432) for host in hosts])
    return cluster


def find(cluster: OpaqueCluster, host: str) -> Balanced:
    [endpoint] = [one for one in cluster.balancer.endpoints if one.address[0] == host]
    return endpoint


def connect(cluster: OpaqueCluster, now: float, elapsed_s: float = 0.0) -> BalancedWay:
    way = BalancedWay(cluster)
    assert way.next(now, RNG) is not None
    way.connected(now + elapsed_s)
    return way


def test_open_connections_are_counted_to_their_end() -> None:
    cluster = make_cluster("a")
    endpoint = find(cluster, "a")
    ways = [connect(cluster, 0.0) for _ in range(3)]
    assert endpoint.pending == 3
    assert endpoint.unanswered == 0
    for way in ways:
        way.ended()
    assert endpoint.pending == 0


def test_connections_spread_though_their_connects_differ_a_little() -> None:
    cluster = make_cluster("a", "b", "c")
    rng = random.Random(2)
    for _ in range(300):
        connect(cluster, 0.0, rng.uniform(0.0, 0.009))
    assert all(90 <= endpoint.pending <= 110 for endpoint in cluster.balancer.endpoints)


def test_a_slow_endpoint_gets_fewer() -> None:
    cluster = make_cluster("a", "b")
    for _ in range(200):
        way = BalancedWay(cluster)
        address = way.next(0.0, RNG)
        assert address is not None
        way.connected(0.5 if address[0] == "a" else 0.001)
    assert find(cluster, "a").pending < 20


def test_a_failed_connect_is_a_fault_and_another_is_tried() -> None:
    cluster = make_cluster("a", "b", "c", "d")
    way = BalancedWay(cluster)
    tried = []
    while not tried or way.may_retry():
        tried.append(way.next(0.0, RNG))
        way.failed(0.1)
    assert len(tried) == len(set(tried)) == MAX_ATTEMPTS
    assert sum(endpoint.pending for endpoint in cluster.balancer.endpoints) == 0
    assert sum(endpoint.breaker.faults(0.1) for endpoint in cluster.balancer.endpoints) == MAX_ATTEMPTS


def test_no_endpoint_is_tried_twice() -> None:
    way = BalancedWay(make_cluster("a"))
    assert way.next(0.0, RNG) == ("a", 5432)
    way.failed(0.1)
    assert way.may_retry()
    assert way.next(0.1, RNG) is None


def test_what_was_abandoned_is_no_fault_and_may_be_tried_again() -> None:
    cluster = make_cluster("a")
    way = BalancedWay(cluster)
    for _ in range(MAX_ATTEMPTS + 1):
        assert way.next(0.0, RNG) == ("a", 5432)
        way.abandoned(0.0)
    endpoint = find(cluster, "a")
    assert endpoint.pending == endpoint.breaker.faults(0.0) == 0


def test_endpoints_that_stay_keep_what_is_known_of_them() -> None:
    cluster = make_cluster("a", "b")
    gone, kept = find(cluster, "a"), find(cluster, "b")
    ways = [connect(cluster, 0.0) for _ in range(10)]
    cluster.replace([Endpoint("b", 5432, 2, "pod-b"), Endpoint("c", 5432)])
    assert find(cluster, "b") is kept
    assert kept.weight == 2
    assert kept.link.pod == "pod-b"
    assert kept.pending > 0
    for way in ways:
        way.ended()
    assert gone.pending == kept.pending == 0
    cluster.replace([])
    assert BalancedWay(cluster).next(0.0, RNG) is None


def test_an_endpoint_that_refuses_seven_times_is_left_alone_for_a_while() -> None:
    cluster = make_cluster("a", "b")
    for _ in range(100):
        way = BalancedWay(cluster)
        address = way.next(0.0, RNG)
        if address == ("a", 5432):
            way.failed(0.0)
        else:
            way.connected(0.0)
            way.ended()
    assert find(cluster, "a").breaker.faults(0.0) <= 7


@pytest.mark.parametrize("has_failed", [True, False])
def test_a_direct_way_has_one_address(has_failed: bool) -> None:
    way = DirectWay(("10.0.0.1", 25))
    assert way.next(0.0, RNG) == ("10.0.0.1", 25)
    if has_failed:
        way.failed(0.1)
        assert not way.may_retry()
        assert way.next(0.1, RNG) is None
    else:
        way.abandoned(0.1)
        assert way.next(0.1, RNG) == ("10.0.0.1", 25)
        way.connected(0.2)
        way.ended()
