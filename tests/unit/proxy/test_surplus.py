from __future__ import annotations

import random

from proxy.balance.endpoint import Endpoint
from proxy.clusters import Clusters
from proxy.codec.limits import DEFAULT_LIMITS
from proxy.metrics.registry import Registry
from proxy.outbound import OutboundTally
from proxy.relay.link import Link
from proxy.relay.relay import Relay
from proxy.relay.upstream import Upstream
from proxy.route import model

SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def make_clusters() -> tuple[Clusters, Endpoint]:
    """A cluster with one endpoint."""
    clusters = Clusters(lambda link: None, lambda: None)
    clusters.put(model.Cluster("a", (model.Endpoint("10.0.0.1", 80),)), 1.0)
    (endpoint,) = clusters.by_name["a"].balancer.endpoints
    return clusters, endpoint


def connect(link: Link, count: int) -> list[Upstream]:
    """Connections whose SETTINGS have come, so that the link has them."""
    relay = Relay(lambda authority, path: (None, 0.0), random.Random(1).random, OutboundTally(Registry()))
    conns = [Upstream(relay, link, DEFAULT_LIMITS, 1.0) for _ in range(count)]
    for conn in conns:
        conn.start()
        conn.feed(bytearray(SETTINGS), 0, len(SETTINGS), 1.0)
    return conns


def test_connections_that_a_burst_needed_are_retired_after_a_minute_without_use() -> None:
    clusters, endpoint = make_clusters()
    first, busy, used, idle = connect(endpoint.link, 4)
    busy.open(1.0)
    for now in range(10, 70):
        clusters.retire_surplus(float(now))
    assert endpoint.link.conns == [first, busy, used, idle]
    # A request that came and went between two looks is a use as well.
    used.drop(used.open(69.0))
    clusters.retire_surplus(70.0)
    assert endpoint.link.conns == [busy, used]
    assert first.closed
    assert idle.closed
    for now in range(71, 129):
        clusters.retire_surplus(float(now))
    assert used in endpoint.link.conns
    clusters.retire_surplus(131.0)
    assert endpoint.link.conns == [busy]
    assert not busy.closed


def test_the_last_connection_stays_however_long_it_is_idle() -> None:
    clusters, endpoint = make_clusters()
    connect(endpoint.link, 3)
    for now in range(10, 1_000, 10):
        clusters.retire_surplus(float(now))
    assert len(endpoint.link.conns) == 1
    assert endpoint.ready
