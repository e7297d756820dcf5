from __future__ import annotations

import random

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.clusters import Clusters
from proxy.codec.tls_hello import Hello
from proxy.control import Control, Node
from proxy.destinations import MAX_AWAITED, Destinations, OnChange
from proxy.inbound import InboundTally
from proxy.metrics.registry import Registry
from proxy.outbound import OutboundTally, label_target
from proxy.relay.cluster import Cluster
from proxy.relay.link import Link
from proxy.relay.opaque import BalancedWay, DirectWay, OpaqueCluster
from proxy.relay.relay import Relay
from proxy.route import model

WEB = model.Workload("shop", "deployment", "web", "web-account")


def test_labels_of_who_runs_there_are_linkerd_s() -> None:
    registry = Registry()
    endpoint = Endpoint(("10.0.0.1", 8080))
    Link(Cluster("web.shop:80", Balancer(), 3.0, 0.0), endpoint, lambda link: None)
    endpoint.link.target = model.Endpoint("10.0.0.1", 8080, 1, "web-1", WEB)
    OutboundTally(registry).handle("web", endpoint).requests += 1
    (line,) = [line for line in registry.render().decode().splitlines() if line.startswith("request_total{")]
    labels = dict(pair.split("=", 1) for pair in line[len("request_total{") :].rpartition("}")[0].split(","))
    assert labels == {
        "direction": '"outbound"',
        "peer": '"dst"',
        "authority": '"web"',
        "target_addr": '"10.0.0.1:8080"',
        "dst_service": '"web.shop:80"',
        "tls": '"disabled"',
        "dst_namespace": '"shop"',
        "dst_deployment": '"web"',
        "dst_serviceaccount": '"web-account"',
        "dst_pod": '"web-1"',
    }


def connection_labels(registry: Registry) -> dict[str, str]:
    (line,) = [line for line in registry.render().decode().splitlines() if line.startswith("tcp_open_total{")]
    return {
        name: value.strip('"')
        for name, value in (pair.split("=", 1) for pair in line[len("tcp_open_total{") :].rpartition("}")[0].split(","))
    }


def test_labels_of_a_raw_connection_name_who_was_picked() -> None:
    registry = Registry()
    cluster = OpaqueCluster("db.shop:5432")
    cluster.replace([model.Endpoint("10.0.0.1", 5432, 1, "db-0", WEB)])
    way = BalancedWay(cluster)
    way.next(0.0, lambda: 0.5)
    OutboundTally(registry).connection(way).opened += 1
    assert connection_labels(registry) == {
        "direction": "outbound",
        "peer": "dst",
        "target_addr": "10.0.0.1:5432",
        "dst_service": "db.shop:5432",
        "tls": "disabled",
        "dst_namespace": "shop",
        "dst_deployment": "web",
        "dst_serviceaccount": "web-account",
        "dst_pod": "db-0",
    }


def test_a_connection_that_leads_out_of_the_mesh_names_its_address_and_what_its_hello_asks_for() -> None:
    registry = Registry()
    way = DirectWay(("2001:db8::1", 443))
    way.hello = Hello("shop.example")
    OutboundTally(registry).connection(way).opened += 1
    assert connection_labels(registry) == {
        "direction": "outbound",
        "peer": "dst",
        "target_addr": "[2001:db8::1]:443",
        "tls": "opaque",
        "sni": "shop.example",
    }


def test_no_series_is_there_twice_however_much_overflows() -> None:
    """Of each kind of label set, more than there is room for."""
    registry = Registry(limit=5)
    cluster = OpaqueCluster("db.shop:5432")
    for number in range(20):
        cluster.replace([model.Endpoint(f"10.0.0.{number}", 5432, 1, f"db-{number}", WEB)])
        for hello in (None, Hello(), Hello(f"{number}.example")):
            ways = (BalancedWay(cluster), DirectWay((f"192.0.2.{number}", 443)))
            for way in ways:
                way.next(0.0, lambda: 0.5)
                way.hello = hello
                for tally in (OutboundTally(registry), InboundTally(registry)):
                    tally.connection(way).opened += 1
    lines = [line for line in registry.render().decode().splitlines() if line.startswith("tcp_open_total{")]
    names = [line.rpartition(" ")[0] for line in lines]
    assert len(names) == len(set(names)) < 30
    assert sum(int(line.rpartition(" ")[2]) for line in lines) == 20 * 3 * 2 * 2


def test_a_kind_from_the_network_makes_no_label() -> None:
    odd = model.Workload("shop", 'x="', "web")
    assert label_target(model.Endpoint("10.0.0.1", 80, workload=odd)) == (("dst_namespace", "shop"),)
    assert label_target(model.Endpoint("10.0.0.1", 80)) == ()


async def test_100_000_invented_names_are_bounded() -> None:
    """With the real client, which nobody answers."""
    now = 0.0
    relay = Relay(lambda authority, path: (None, 0.0), random.Random(1).random, OutboundTally(Registry()))
    clusters = Clusters(lambda link: None, lambda: None)

    def connect(on_change: OnChange) -> Control:
        return Control(model.Address("127.0.0.1", 1), Node("a.b", "b"), on_change, random.Random(1).random)

    destinations = Destinations(
        clusters, relay.forget_decisions, connect, lambda: None, lambda call: call(), lambda: now
    )
    assert isinstance(destinations.source, Control)
    for number in range(100_000):
        now += 0.001
        destinations.route(clusters.http2, b"name-%d.example:80" % number, b"/")
    assert len(destinations.awaited) <= MAX_AWAITED
    assert destinations.source.subscriptions <= 1_000
    assert not destinations.known
