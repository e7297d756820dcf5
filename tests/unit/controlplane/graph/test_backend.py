"""Which endpoints get requests, and under whose identity: slices joined with pods that may be older or newer."""

from __future__ import annotations

import pytest

from controlplane.graph.build import build
from controlplane.graph.mesh import UNKNOWN, Endpoint, Workload
from controlplane.graph.service import MAX_UNSEEN
from controlplane.model.objects import Object, Pod, Service, ServicePort, SliceEndpoint, SlicePort
from controlplane.model.snapshot import Relist
from controlplane.translate.reach import reach, reachable
from controlplane.translate.resource import View
from tests.unit.controlplane.graph.shop import (
    addresses,
    make_endpoint,
    make_pod,
    make_service,
    make_slice,
    make_snapshot,
)

A, B = make_pod("a", "10.0.0.1"), make_pod("b", "10.0.0.2")
LATE = make_pod("a", "10.0.0.1", terminating=True)
OVER = make_pod("a", "10.0.0.1", finished=True)


def serve(*objects: Object, overdue: frozenset[str] = frozenset()) -> list[str]:
    return addresses(build(make_snapshot(make_service(), *objects), overdue))


def published(*objects: Object, overdue: frozenset[str] = frozenset()) -> tuple[Endpoint, ...]:
    mesh = build(make_snapshot(make_service(), *objects), overdue)
    return mesh.targets["web.shop.svc.cluster.local:80"].endpoints


def test_an_endpoint_says_where_it_is_and_who() -> None:
    a = make_pod("a", "10.0.0.1", service_account="web", meshed=True)
    endpoint = make_endpoint(a, node="node-1", zone="east", hints=("east", "west"))
    workload = Workload("shop", "deployment", "a-workload", "web", True)
    assert published(a, make_slice(endpoint)) == (
        Endpoint("10.0.0.1", 8080, "a", "node-1", "east", ("east", "west"), workload),
    )


def test_endpoints_are_sorted_by_address() -> None:
    assert serve(A, B, make_slice(make_endpoint(B), make_endpoint(A))) == ["10.0.0.1:8080", "10.0.0.2:8080"]


def test_without_pods_several_may_serve_on_one_host() -> None:
    slices = [
        make_slice(make_endpoint("127.0.0.1"), name=f"slice-{port}", ports=(SlicePort("", port),))
        for port in (9001, 9002)
    ]
    assert serve(*slices) == ["127.0.0.1:9001", "127.0.0.1:9002"]


def test_an_endpoint_that_is_not_ready_gets_nothing_even_alone() -> None:
    assert serve(A, make_slice(make_endpoint(A, ready=False, serving=False))) == []


@pytest.mark.parametrize(
    ("pod", "more"),
    [
        (A, {"ready": False, "terminating": True}),
        (LATE, {}),
        (LATE, {"ready": False, "terminating": True}),
    ],
)
class TestTerminating:
    def test_is_left_out_while_another_serves(self, pod: Object, more: dict[str, bool]) -> None:
        assert serve(pod, B, make_slice(make_endpoint(A, **more), make_endpoint(B))) == ["10.0.0.2:8080"]

    def test_is_kept_while_nobody_else_serves(self, pod: Object, more: dict[str, bool]) -> None:
        other = make_endpoint(B, ready=False, serving=False)
        assert serve(pod, B, make_slice(make_endpoint(A, **more), other)) == ["10.0.0.1:8080"]


@pytest.mark.parametrize("pod", [A, LATE])
def test_what_terminates_and_is_ready_by_the_slices_word_goes_on(pod: Pod) -> None:
    """publishNotReadyAddresses: the slice says both, and kube-proxy and DNS keep it."""
    endpoint = make_endpoint(A, terminating=True, serving=False)
    assert serve(pod, B, make_slice(endpoint, make_endpoint(B))) == ["10.0.0.1:8080", "10.0.0.2:8080"]


class TestOnTheOwnNodeOnly:
    """internalTrafficPolicy: Local. Whether one that terminates is needed is asked on each node."""

    slices = make_slice(
        make_endpoint("10.0.0.1", node="n1", ready=False, terminating=True),
        make_endpoint("10.0.0.2", node="n2"),
        make_endpoint("10.0.0.3", node="n2", ready=False, terminating=True),
    )

    def hosts(self, node: str, service: Service) -> list[str]:
        target = build(make_snapshot(service, self.slices)).targets["web.shop.svc.cluster.local:80"]
        return [endpoint.host for endpoint in reachable(target, *reach(target).part(View(node=node)))]

    @pytest.mark.parametrize(
        ("node", "expected"),
        [("n1", ["10.0.0.1"]), ("n2", ["10.0.0.2"]), ("n3", []), ("", ["10.0.0.2"])],
        ids=["one that ends", "a ready one", "none", "unknown"],
    )
    def test_one_that_ends_serves_where_there_is_no_other(self, node: str, expected: list[str]) -> None:
        assert self.hosts(node, make_service(local_only=True)) == expected

    def test_otherwise_one_anywhere_is_enough(self) -> None:
        assert self.hosts("n1", make_service()) == ["10.0.0.2"]

    def test_where_all_end_all_serve(self) -> None:
        ending = make_slice(
            *[make_endpoint(f"10.0.0.{n}", node=f"n{n}", ready=False, terminating=True) for n in (1, 2)]
        )
        mesh = build(make_snapshot(make_service(local_only=True), ending))
        assert addresses(mesh) == ["10.0.0.1:8080", "10.0.0.2:8080"]
        target = mesh.targets["web.shop.svc.cluster.local:80"]
        assert len(reachable(target, *reach(target).part(View()))) == 2


def test_what_terminates_and_does_not_serve_gets_nothing() -> None:
    assert serve(A, make_slice(make_endpoint(A, ready=False, serving=False, terminating=True))) == []


def test_a_finished_pod_gets_nothing_even_alone() -> None:
    assert serve(OVER, make_slice(make_endpoint(A))) == []


class TestWithheld:
    def test_until_its_pod_is_seen(self) -> None:
        assert serve(B, make_slice(make_endpoint(A), make_endpoint(B))) == ["10.0.0.2:8080"]

    def test_until_it_is_overdue_and_then_unknown(self) -> None:
        (endpoint,) = published(make_slice(make_endpoint(A)), overdue=frozenset([A.uid]))
        assert (endpoint.host, endpoint.pod, endpoint.workload) == ("10.0.0.1", "a", UNKNOWN)

    def test_a_pod_of_the_same_name_is_not_that_pod(self) -> None:
        successor = make_pod("a", "10.0.0.1", uid="another")
        assert serve(successor, make_slice(make_endpoint(A))) == []
        (endpoint,) = published(successor, make_slice(make_endpoint(A)), overdue=frozenset([A.uid]))
        assert endpoint.workload == UNKNOWN

    def test_until_its_pod_has_the_address(self) -> None:
        unborn, moved = make_pod("a"), make_pod("a", "10.0.0.9")
        assert serve(unborn, make_slice(make_endpoint(A))) == []
        assert serve(moved, make_slice(make_endpoint(A))) == []
        (endpoint,) = published(moved, make_slice(make_endpoint(A)), overdue=frozenset([A.uid]))
        assert endpoint.workload == UNKNOWN

    def test_not_beyond_the_bound(self) -> None:
        crowd = [make_pod(f"p{number:04}", f"10.1.{number // 250}.{number % 250}") for number in range(MAX_UNSEEN + 2)]
        item = make_slice(*[make_endpoint(pod) for pod in crowd])
        assert serve(item) == ["10.1.4.0:8080", "10.1.4.1:8080"]

    def test_what_terminates_serves_in_the_meantime(self) -> None:
        assert serve(LATE, make_slice(make_endpoint(A), make_endpoint(B))) == ["10.0.0.1:8080"]

    def test_not_where_pods_cannot_be_listed(self) -> None:
        snapshot, _ = make_snapshot(make_service(), make_slice(make_endpoint(A))).after(
            [Relist("pods", (), available=False)]
        )
        assert addresses(build(snapshot)) == ["10.0.0.1:8080"]


class TestSeveralSlices:
    def test_are_one(self) -> None:
        slices = [make_slice(make_endpoint(pod), name=pod.name) for pod in (A, B)]
        assert serve(A, B, *slices) == ["10.0.0.1:8080", "10.0.0.2:8080"]

    def test_name_a_pod_twice(self) -> None:
        assert serve(A, make_slice(make_endpoint(A), name="x"), make_slice(make_endpoint(A), name="y")) == [
            "10.0.0.1:8080"
        ]

    @pytest.mark.parametrize("names", [("x", "y"), ("y", "x")])
    def test_terminating_in_one_is_terminating(self, names: tuple[str, str]) -> None:
        one = make_slice(make_endpoint(A), make_endpoint(B), name=names[0])
        other = make_slice(make_endpoint(A, ready=False, terminating=True), name=names[1])
        assert serve(A, B, one, other) == ["10.0.0.2:8080"]
        assert serve(A, one, other) == ["10.0.0.1:8080"]

    @pytest.mark.parametrize("names", [("x", "y"), ("y", "x")])
    def test_ready_in_one_is_ready(self, names: tuple[str, str]) -> None:
        one = make_slice(make_endpoint(A), name=names[0])
        other = make_slice(make_endpoint(A, ready=False, serving=False), name=names[1])
        assert serve(A, one, other) == ["10.0.0.1:8080"]

    def test_disagree_on_the_address_and_the_pod_decides(self) -> None:
        moved = make_pod("a", "10.0.0.9")
        slices = make_slice(make_endpoint(A), name="x"), make_slice(make_endpoint(moved), name="y")
        assert serve(moved, *slices) == ["10.0.0.9:8080"]
        assert serve(A, *slices) == ["10.0.0.1:8080"]

    def test_of_another_service_or_namespace_do_not_count(self) -> None:
        other = make_slice(make_endpoint(A), service="webster")
        assert serve(A, other) == []


class TestDualStack:
    both = make_pod("a", "10.0.0.1", "fd00::1")
    four = make_slice(make_endpoint(both), name="z-four")
    six = make_slice(make_endpoint(both, "fd00::1"), name="a-six", family="IPv6")

    @pytest.mark.parametrize(
        ("families", "host"),
        [
            (("IPv4", "IPv6"), "10.0.0.1"),
            (("IPv6", "IPv4"), "fd00::1"),
            (("IPv4",), "10.0.0.1"),
            (("IPv6",), "fd00::1"),
        ],
    )
    def test_one_endpoint_in_the_services_first_family(self, families: tuple[str, ...], host: str) -> None:
        snapshot = make_snapshot(make_service(ip_families=families), self.both, self.four, self.six)
        (endpoint,) = build(snapshot).targets["web.shop.svc.cluster.local:80"].endpoints
        assert endpoint.host == host

    def test_the_other_family_where_the_first_is_missing(self) -> None:
        assert serve(self.both, self.six) == ["fd00::1:8080"]

    def test_terminating_in_one_family_is_terminating(self) -> None:
        late = make_slice(
            make_endpoint(self.both, "fd00::1", ready=False, terminating=True), name="late", family="IPv6"
        )
        assert serve(self.both, B, make_slice(make_endpoint(self.both), make_endpoint(B)), late) == ["10.0.0.2:8080"]

    def test_a_port_that_only_the_unknown_address_has_is_overdue_in_time(self) -> None:
        mesh_ports = ServicePort("", 80), ServicePort("extra", 81)
        six = make_slice(make_endpoint(A, "fd00::1"), name="six", family="IPv6", ports=(SlicePort("extra", 8081),))
        snapshot = make_snapshot(make_service("web", *mesh_ports), A, make_slice(make_endpoint(A)), six)
        name = "web.shop.svc.cluster.local:81"
        assert addresses(build(snapshot), name) == []
        assert addresses(build(snapshot, frozenset([A.uid])), name) == ["fd00::1:8081"]


class TestAddresses:
    def test_without_a_pod(self) -> None:
        endpoints = make_endpoint("192.0.2.1"), make_endpoint("192.0.2.2"), make_endpoint("192.0.2.1")
        assert [(item.host, item.pod, item.workload) for item in published(make_slice(*endpoints))] == [
            ("192.0.2.1", "", UNKNOWN),
            ("192.0.2.2", "", UNKNOWN),
        ]

    def test_of_a_manifest_pod_without_a_uid(self) -> None:
        plain = make_pod("a", "10.0.0.1", uid="")
        (endpoint,) = published(plain, make_slice(make_endpoint(plain)))
        assert endpoint.workload.name == "a-workload"

    def test_without_a_uid_is_not_a_pod_that_has_one(self) -> None:
        (endpoint,) = published(A, make_slice(SliceEndpoint("10.0.0.1", pod=A.key)))
        assert (endpoint.pod, endpoint.workload) == ("a", UNKNOWN)

    def test_shared_by_a_pod_and_a_plain_endpoint_are_the_pods(self) -> None:
        for endpoints in ([make_endpoint(A), make_endpoint("10.0.0.1")], [make_endpoint("10.0.0.1"), make_endpoint(A)]):
            (endpoint,) = published(A, make_slice(*endpoints))
            assert endpoint.workload.name == "a-workload"

    @pytest.mark.parametrize("count", [2, 3])
    def test_claimed_by_several_pods_are_nobodys(self, count: int) -> None:
        pods = [make_pod(f"p{number}", "10.0.0.1") for number in range(count)]
        (endpoint,) = published(*pods, make_slice(*[make_endpoint(pod) for pod in pods]))
        assert (endpoint.host, endpoint.pod, endpoint.workload) == ("10.0.0.1", "", UNKNOWN)

    def test_claimed_by_a_pod_that_is_not_seen_yet_are_nobodys(self) -> None:
        newcomer = make_pod("new", "10.0.0.1")
        (endpoint,) = published(A, make_slice(make_endpoint(A), make_endpoint(newcomer)))
        assert endpoint.workload == UNKNOWN

    def test_taken_over_from_a_pod_that_ends_are_the_newcomers(self) -> None:
        newcomer = make_pod("new", "10.0.0.1")
        (endpoint,) = published(LATE, newcomer, make_slice(make_endpoint(A), make_endpoint(newcomer)))
        assert endpoint.pod == "new"

    def test_of_the_hosts_network_are_nobodys_and_served_at_once(self) -> None:
        """Whoever has a hostPort there answers at the same address."""
        pod = make_pod("a", "10.0.0.1", host_network=True)
        (endpoint,) = published(pod, make_slice(make_endpoint(pod)))
        assert (endpoint.pod, endpoint.workload) == ("a", UNKNOWN)

    def test_of_an_fqdn_slice_are_left_out(self) -> None:
        assert serve(make_slice(make_endpoint("db.example"), family="FQDN")) == []
