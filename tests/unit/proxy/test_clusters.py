from __future__ import annotations

from dataclasses import replace

from proxy.balance.endpoint import Endpoint
from proxy.clusters import MAX_ENDPOINTS, Clusters, choose
from proxy.relay.link import Link
from proxy.route import model


class Bench:
    """Clusters with the dials that they asked for."""

    def __init__(self) -> None:
        self.dialled: list[str] = []
        self.changes = 0
        self.clusters = Clusters(self.dial, self.changed)

    def dial(self, link: Link) -> None:
        self.dialled.append(link.endpoint.address[0])

    def changed(self) -> None:
        self.changes += 1

    def put(self, *hosts: str, name: str = "a") -> bool:
        return self.clusters.put(model.Cluster(name, tuple(model.Endpoint(host, 80) for host in hosts)), 1.0)

    def endpoints(self, name: str = "a") -> dict[str, Endpoint]:
        return {one.address[0]: one for one in self.clusters.by_name[name].balancer.endpoints}

    def answer(self, name: str, *addresses: str) -> None:
        self.clusters.names._answered(name, addresses)


def test_an_endpoint_that_stays_keeps_its_object_and_its_link() -> None:
    bench = Bench()
    assert bench.put("10.0.0.1", "10.0.0.2")
    before = {host: endpoint.link for host, endpoint in bench.endpoints().items()}
    assert bench.put("10.0.0.2", "10.0.0.3")
    after = bench.endpoints()
    assert after["10.0.0.2"].link is before["10.0.0.2"]
    assert before["10.0.0.1"].removed
    assert bench.dialled == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_what_is_so_already_is_left_alone() -> None:
    bench = Bench()
    assert bench.put("10.0.0.1")
    assert not bench.put("10.0.0.1")


def test_weight_and_workload_change_in_place() -> None:
    bench = Bench()
    bench.put("10.0.0.1")
    (endpoint,) = bench.endpoints().values()
    target = model.Endpoint("10.0.0.1", 80, 3, "web-1", model.Workload("shop", "deployment", "web"))
    bench.clusters.put(model.Cluster("a", (target,)), 1.0)
    assert bench.endpoints() == {"10.0.0.1": endpoint}
    assert endpoint.weight == 3
    assert endpoint.link.target is target


def test_new_timeouts_reach_the_forms_that_there_are() -> None:
    clusters = Bench().clusters
    wish = model.Cluster("a", (model.Endpoint("10.0.0.1", 80),))
    clusters.put(wish, 1.0)
    opaque = clusters.opaque("a")
    clusters.put(replace(wish, connect_timeout_s=9.0, failfast_timeout_s=0.5), 2.0)
    assert (opaque.connect_timeout_s, opaque.failfast_s) == (9.0, 0.5)


def test_a_cluster_that_is_dropped_lets_go_of_all() -> None:
    bench = Bench()
    bench.put("10.0.0.1", "web.example")
    (endpoint,) = bench.endpoints().values()
    bench.clusters.drop("a", 2.0)
    assert endpoint.link.removed
    assert not bench.clusters.by_name
    assert not bench.clusters.wishes
    assert bench.clusters.names.all_answered()


def test_names_are_filled_in_as_they_are_answered() -> None:
    bench = Bench()
    bench.put("10.0.0.1")
    bench.put("10.0.0.2", "web.example")
    assert set(bench.endpoints()) == {"10.0.0.1", "10.0.0.2"}  # the old one fills the gap
    bench.answer("web.example", "10.0.0.3", "10.0.0.4")
    assert set(bench.endpoints()) == {"10.0.0.2", "10.0.0.3", "10.0.0.4"}
    assert bench.changes == 1
    bench.answer("web.example", "10.0.0.4")
    assert set(bench.endpoints()) == {"10.0.0.2", "10.0.0.4"}


def test_a_name_is_wanted_as_long_as_a_cluster_has_it() -> None:
    bench = Bench()
    bench.put("web.example", name="a")
    bench.put("web.example", name="b")
    bench.answer("web.example", "10.0.0.3")
    bench.clusters.drop("a", 2.0)
    assert set(bench.endpoints("b")) == {"10.0.0.3"}
    assert bench.clusters.names.addresses("web.example") == ("10.0.0.3",)
    bench.put("10.0.0.1", name="b")
    assert bench.clusters.names.resolved == {}


def test_two_names_may_have_one_address() -> None:
    bench = Bench()
    bench.put("web.example", "www.example")
    bench.answer("web.example", "10.0.0.3")
    bench.answer("www.example", "10.0.0.3")
    assert set(bench.endpoints()) == {"10.0.0.3"}
    assert bench.dialled == ["10.0.0.3"]


def test_of_a_very_large_cluster_a_steady_part_is_used() -> None:
    endpoints = tuple(model.Endpoint(f"10.0.{number // 250}.{number % 250}", 80) for number in range(2 * MAX_ENDPOINTS))
    chosen = choose(endpoints, 7)
    assert len(set(chosen)) == MAX_ENDPOINTS
    assert set(choose(endpoints[::-1], 7)) == set(chosen)
    assert len(set(chosen) & set(choose(endpoints[10:], 7))) >= MAX_ENDPOINTS - 10
    assert set(choose(endpoints, 8)) != set(chosen)
    assert choose(endpoints[:MAX_ENDPOINTS], 7) == endpoints[:MAX_ENDPOINTS]


def hold(bench: Bench, protocol: str = "") -> None:
    bench.clusters.hold(model.Cluster("a", (model.Endpoint("10.0.0.1", 80),), protocol=protocol), 1.0)


def test_what_somebody_called_is_not_dialled_ahead() -> None:
    """It may be any server on earth, and most of them speak HTTP/1."""
    bench = Bench()
    hold(bench)
    assert not bench.dialled
    bench.clusters.http2("a", 1.0)
    assert bench.dialled == ["10.0.0.1"]


def test_what_is_known_to_speak_http_2_is_dialled_ahead_and_for_ever() -> None:
    bench = Bench()
    hold(bench, model.HTTP2)
    assert bench.dialled == ["10.0.0.1"]
    assert bench.clusters.end_futile(1_000.0) == []


def test_what_does_not_answer_to_http_2_is_dialled_only_while_it_is_asked_for() -> None:
    bench = Bench()
    hold(bench)
    cluster = bench.clusters.http2("a", 1.0)
    (endpoint,) = bench.endpoints().values()
    assert cluster.fails_fast(10.0)
    assert bench.clusters.end_futile(14.0) == []
    assert bench.clusters.end_futile(16.0) == [cluster]
    assert endpoint.link.removed
    assert bench.clusters.http2("a", 17.0) is not cluster
    assert bench.dialled == ["10.0.0.1", "10.0.0.1"]


def test_what_has_answered_to_http_2_stays() -> None:
    bench = Bench()
    hold(bench)
    cluster = bench.clusters.http2("a", 1.0)
    (endpoint,) = bench.endpoints().values()
    cluster.set_ready(endpoint, True, 2.0)
    assert bench.clusters.end_futile(1_000.0) == []


def test_without_endpoints_nothing_is_dialled_so_nothing_ends() -> None:
    bench = Bench()
    bench.clusters.hold(model.Cluster("a", ()), 1.0)
    bench.clusters.http2("a", 1.0)
    assert bench.clusters.end_futile(1_000.0) == []
