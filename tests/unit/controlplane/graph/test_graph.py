"""Updates: what they return, what they leave alone, and whom they wait for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.graph import graph, service
from controlplane.graph.graph import Graph
from controlplane.graph.mesh import HTTP1, TCP
from controlplane.model.objects import Object, ServicePort
from controlplane.model.snapshot import Change, Relist, Snapshot
from tests.unit.controlplane.graph.shop import (
    KINDS,
    addresses,
    make_endpoint,
    make_headless,
    make_pod,
    make_service,
    make_slice,
)

WEB, DB = "web.shop.svc.cluster.local", "db.shop.svc.cluster.local"
A, B = make_pod("a", "10.0.0.1"), make_pod("b", "10.0.0.2")


class Cluster:
    """A graph that follows a snapshot, object by object."""

    def __init__(self, *objects: Object) -> None:
        self.graph = Graph()
        self.snapshot = Snapshot()
        self.overdue: frozenset[str] = frozenset()
        self.put(*objects)

    def put(self, *objects: Object) -> frozenset[str]:
        return self.apply(*[Change(KINDS[type(item)], item.key, item) for item in objects])

    def remove(self, *objects: Object) -> frozenset[str]:
        return self.apply(*[Change(KINDS[type(item)], item.key, None) for item in objects])

    def apply(self, *changes: Change | Relist) -> frozenset[str]:
        self.snapshot, touched = self.snapshot.after(changes)
        return self.graph.update(self.snapshot, touched, self.overdue)

    def wait(self, *uids: str) -> frozenset[str]:
        self.overdue = frozenset(uids)
        return self.graph.update(self.snapshot, frozenset(), self.overdue)


def test_a_service_comes_changes_and_goes() -> None:
    cluster = Cluster()
    web = make_service(cluster_ips=("10.96.0.1",))
    assert cluster.put(web) == {f"{WEB}:80", "10.96.0.1:80"}
    assert cluster.put(web) == frozenset()
    assert cluster.put(replace(web, cluster_ips=("10.96.0.2",))) == {f"{WEB}:80", "10.96.0.1:80", "10.96.0.2:80"}
    assert cluster.remove(web) == {f"{WEB}:80", "10.96.0.2:80"}
    assert cluster.graph.mesh.targets == cluster.graph.mesh.addresses == {}


def test_an_address_passes_to_the_next_that_claims_it() -> None:
    first, second = (make_service(name, cluster_ips=("10.96.0.1",)) for name in ("a", "b"))
    cluster = Cluster(second)
    assert "10.96.0.1:80" in cluster.put(first)
    assert cluster.graph.mesh.addresses["10.96.0.1:80"].startswith("a.")
    assert "10.96.0.1:80" in cluster.remove(first)
    assert cluster.graph.mesh.addresses["10.96.0.1:80"].startswith("b.")


def test_a_change_of_a_headless_service_names_its_hosts() -> None:
    cluster = Cluster(make_headless(), A, B, make_slice(make_endpoint(A, hostname="x"), service="db"))
    changed = cluster.put(make_slice(make_endpoint(A, hostname="x"), make_endpoint(B), service="db"))
    assert changed == {f"{DB}:80", DB}
    assert cluster.remove(A) == {f"{DB}:80", DB, f"x.{DB}:80", f"x.{DB}", "10.0.0.1"}


def test_what_is_spoken_at_an_endpoint_is_news_of_its_address() -> None:
    endpoints = make_slice(make_endpoint(A), service="db")
    cluster = Cluster(make_headless("db", ServicePort("", 80)), A, endpoints)
    assert cluster.put(make_headless("db", ServicePort("", 80, app_protocol="tcp"))) == {f"{DB}:80", "10.0.0.1:8080"}
    assert cluster.graph.mesh.spoken == {"10.0.0.1:8080": TCP}
    cluster.remove(endpoints)
    assert cluster.graph.mesh.spoken == {}


def test_where_two_services_disagree_nobody_knows_what_is_spoken() -> None:
    cluster = Cluster(make_headless("db", ServicePort("", 80, app_protocol="tcp")), make_service("web"), A)
    cluster.put(make_slice(make_endpoint(A), name="one", service="db"), make_slice(make_endpoint(A), name="two"))
    assert cluster.graph.mesh.spoken == {"10.0.0.1:8080": TCP}  # who says nothing does not disagree
    assert "10.0.0.1:8080" in cluster.put(make_service("web", ServicePort("", 80, app_protocol="http")))
    assert cluster.graph.mesh.spoken == {}
    assert "10.0.0.1:8080" in cluster.remove(make_headless("db"))
    assert cluster.graph.mesh.spoken == {"10.0.0.1:8080": HTTP1}


def test_what_a_pod_says_of_its_ports_is_news_of_its_address() -> None:
    cluster = Cluster(A)
    assert cluster.put(replace(A, opaque_ports="7000")) == {"10.0.0.1"}
    assert 7000 in cluster.graph.mesh.opaque["10.0.0.1"]
    assert cluster.remove(A) == {"10.0.0.1"}
    assert cluster.graph.mesh.opaque == {}


def test_what_does_not_change_stays_the_same_object() -> None:
    cluster = Cluster(make_service(), make_service("other"), A, make_slice(make_endpoint(A)))
    before = cluster.graph.mesh
    assert cluster.put(make_slice(make_endpoint(A), name="slice-2")) == frozenset()
    assert cluster.graph.mesh.targets is before.targets
    cluster.put(B, make_slice(make_endpoint(B), name="slice-2"))
    assert (
        cluster.graph.mesh.targets["other.shop.svc.cluster.local:80"]
        is before.targets["other.shop.svc.cluster.local:80"]
    )
    assert before.pods.keys() == {"10.0.0.1"}


def test_a_slice_that_passes_to_another_service() -> None:
    cluster = Cluster(make_service(), make_service("other"), A, make_slice(make_endpoint(A)))
    assert cluster.put(make_slice(make_endpoint(A), service="other")) == {
        f"{WEB}:80",
        "other.shop.svc.cluster.local:80",
    }
    assert addresses(cluster.graph.mesh, "other.shop.svc.cluster.local:80") == ["10.0.0.1:8080"]


def test_slices_may_come_before_their_service_and_stay_behind_it() -> None:
    cluster = Cluster(A, make_slice(make_endpoint(A)))
    assert cluster.put(make_service()) == {f"{WEB}:80"}
    assert addresses(cluster.graph.mesh) == ["10.0.0.1:8080"]
    cluster.remove(make_service())
    cluster.put(make_service())
    assert addresses(cluster.graph.mesh) == ["10.0.0.1:8080"]


def test_a_pod_counts_the_moment_it_terminates() -> None:
    cluster = Cluster(make_service(), A, B, make_slice(make_endpoint(A), make_endpoint(B)))
    assert cluster.put(replace(A, terminating=True)) == {f"{WEB}:80"}
    assert addresses(cluster.graph.mesh) == ["10.0.0.2:8080"]


def test_a_manifest_pod_without_a_uid_gives_its_identity_when_it_comes() -> None:
    plain = make_pod("a", "10.0.0.1", uid="")
    cluster = Cluster(make_service(), make_slice(make_endpoint(plain)))
    for change, workload in ((cluster.put, "a-workload"), (cluster.remove, "")):
        assert change(plain) == {f"{WEB}:80", "10.0.0.1"}
        (endpoint,) = cluster.graph.mesh.targets[f"{WEB}:80"].endpoints
        assert endpoint.workload.name == workload


def test_a_service_beyond_the_bounds_is_named_until_it_is_within(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_TARGETS", 1)
    cluster = Cluster(make_service("web", ServicePort("a", 80), ServicePort("b", 81)))
    assert list(cluster.graph.mesh.targets) == [f"{WEB}:80"]
    assert cluster.graph.overfull == {("shop", "web"): 1}
    (problem,) = cluster.graph.problems()
    assert problem.startswith("services shop/web: 1 of its targets are left out")
    cluster.put(make_service())
    assert cluster.graph.problems() == []
    cluster.put(make_service("web", ServicePort("a", 80), ServicePort("b", 81)))
    cluster.remove(make_service())
    assert cluster.graph.overfull == {}


class TestWaiting:
    def test_for_a_pod_that_comes(self) -> None:
        cluster = Cluster(make_service(), make_slice(make_endpoint(A)))
        assert cluster.graph.waiting == {A.uid}
        assert cluster.put(A) == {f"{WEB}:80", "10.0.0.1"}
        assert cluster.graph.waiting == cluster.graph.unseen == frozenset()

    def test_for_a_pod_that_does_not(self) -> None:
        cluster = Cluster(make_service(), make_slice(make_endpoint(A)))
        assert cluster.wait(A.uid) == {f"{WEB}:80"}
        assert addresses(cluster.graph.mesh) == ["10.0.0.1:8080"]
        assert (cluster.graph.waiting, cluster.graph.unseen) == (frozenset(), {A.uid})
        assert cluster.wait() == {f"{WEB}:80"}
        assert cluster.graph.waiting == {A.uid}

    def test_not_for_one_that_was_deleted(self) -> None:
        cluster = Cluster(make_service(), A, make_slice(make_endpoint(A)))
        assert cluster.remove(A) == {f"{WEB}:80", "10.0.0.1"}
        assert (cluster.graph.waiting, cluster.graph.unseen) == (frozenset(), {A.uid})

    def test_not_for_the_predecessor_of_a_pod_of_the_same_name(self) -> None:
        cluster = Cluster(make_service(), A, make_slice(make_endpoint(A)))
        cluster.put(replace(A, uid="new", ips=("10.0.0.9",)))
        assert cluster.graph.waiting == frozenset()
        assert addresses(cluster.graph.mesh) == []

    def test_for_one_that_was_deleted_so_long_ago_that_it_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(graph, "MAX_GONE", 1)
        cluster = Cluster(make_service(), A, B)
        cluster.remove(A)
        cluster.remove(B)
        cluster.put(make_slice(make_endpoint(A), make_endpoint(B)))
        assert cluster.graph.waiting == {A.uid}

    def test_again_where_a_list_had_missed_it(self) -> None:
        cluster = Cluster(make_service(), A, make_slice(make_endpoint(A)))
        cluster.apply(Relist("pods", ()))
        assert addresses(cluster.graph.mesh) == []
        cluster.apply(Relist("pods", (A,)))
        assert addresses(cluster.graph.mesh) == ["10.0.0.1:8080"]

    def test_again_for_one_that_came_back_without_its_address(self) -> None:
        cluster = Cluster(make_service(), A, make_slice(make_endpoint(A)))
        cluster.apply(Relist("pods", ()))
        cluster.apply(Relist("pods", (replace(A, ips=()),)))
        assert cluster.graph.waiting == {A.uid}

    @pytest.mark.parametrize("families", [("IPv4", "IPv6"), ("IPv6", "IPv4")])
    def test_for_an_address_in_the_other_family(self, families: tuple[str, ...]) -> None:
        six = make_slice(make_endpoint(A, "fd00::1"), name="six", family="IPv6")
        cluster = Cluster(make_service(ip_families=families), A, make_slice(make_endpoint(A)), six)
        assert addresses(cluster.graph.mesh) == ["10.0.0.1:8080"]
        assert cluster.graph.waiting == {A.uid}

    def test_not_again_for_one_that_was_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Room that others leave does not take away what is served already."""
        monkeypatch.setattr(graph, "MAX_UNSEEN", 1)
        cluster = Cluster(make_service(), make_slice(make_endpoint(A), make_endpoint(B)))
        assert cluster.graph.unseen == cluster.graph.waiting == {A.uid}
        assert addresses(cluster.graph.mesh) == ["10.0.0.2:8080"]
        cluster.put(A)
        assert addresses(cluster.graph.mesh) == ["10.0.0.1:8080", "10.0.0.2:8080"]
        assert cluster.graph.waiting == frozenset()
        cluster.put(B)
        assert [item.workload.name for item in cluster.graph.mesh.targets[f"{WEB}:80"].endpoints] == [
            "a-workload",
            "b-workload",
        ]

    def test_for_so_many_in_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(graph, "MAX_UNSEEN_IN_ALL", 1)
        cluster = Cluster(make_service(), make_slice(make_endpoint(A)))
        other = make_slice(make_endpoint(A), make_endpoint(B), name="other-1", service="other")
        cluster.put(make_service("other"), other)
        assert cluster.graph.waiting == {A.uid}
        assert addresses(cluster.graph.mesh) == []
        assert [item.host for item in cluster.graph.mesh.targets["other.shop.svc.cluster.local:80"].endpoints]
        cluster.remove(make_service(), other)
        assert cluster.graph.unseen == frozenset()

    def test_not_without_a_service(self) -> None:
        assert Cluster(make_slice(make_endpoint(A))).graph.waiting == frozenset()

    def test_not_where_pods_cannot_be_listed(self) -> None:
        cluster = Cluster(make_service(), make_slice(make_endpoint(A)))
        assert cluster.apply(Relist("pods", (), available=False)) == {f"{WEB}:80"}
        assert addresses(cluster.graph.mesh) == ["10.0.0.1:8080"]
        assert cluster.graph.waiting == frozenset()
        assert cluster.apply(Relist("pods", ())) == {f"{WEB}:80"}
        assert cluster.graph.waiting == {A.uid}
