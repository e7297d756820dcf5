"""What becomes of resources in the order in which they come."""

from __future__ import annotations

from proxy.control.delta import Delta
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE
from proxy.control.tree import MAX_BODY_BYTES, Tree
from proxy.route.model import Destination
from tests.unit.proxy.control.resources import (
    make_cluster,
    make_endpoints,
    make_listener,
    make_resource,
    make_routes,
)

A = ("10.0.0.1", 80)
B = ("10.0.0.2", 80)


class Garden:
    """A tree and short ways to feed it; `news` is what `settle` has said."""

    def __init__(self, keep_bodies: bool = False) -> None:
        self.delta = Delta()
        self.tree = Tree(self.delta, keep_bodies)
        self.news: list[tuple[str, Destination | None]] = []

    def listener(self, name: str, routes: str, version: str = "1") -> str:
        return self.tree.put(make_resource(LISTENER, name, version, make_listener(name, routes)))

    def routes(self, name: str, *clusters: str, version: str = "1") -> str:
        return self.tree.put(make_resource(ROUTE, name, version, make_routes(name, *clusters)))

    def cluster(self, name: str, endpoints: str = "", version: str = "1") -> str:
        return self.tree.put(make_resource(CLUSTER, name, version, make_cluster(name, endpoints)))

    def endpoints(self, name: str, *addresses: tuple[str, int], version: str = "1") -> str:
        return self.tree.put(make_resource(ENDPOINTS, name, version, make_endpoints(name, *addresses)))

    def service(self, name: str, *addresses: tuple[str, int], alias: str = "") -> None:
        self.tree.want(alias or name)
        self.listener(alias or name, name)
        self.tree.settle()
        self.routes(name, name)
        self.cluster(name)
        self.endpoints(name, *addresses)

    def settle(self) -> list[tuple[str, Destination | None]]:
        changes = self.tree.settle()
        self.news += changes
        return changes

    def wanted(self) -> set[tuple[str, str]]:
        return {
            (type_url.rpartition(".")[2], name) for type_url, kind in self.delta.types.items() for name in kind.names
        }


def addresses(destination: Destination | None) -> dict[str, list[str]]:
    assert destination is not None
    return {cluster.name: [str(endpoint) for endpoint in cluster.endpoints] for cluster in destination.clusters}


def test_each_resource_leads_to_the_next() -> None:
    garden = Garden()
    garden.tree.want("voting")
    assert garden.wanted() == {("Listener", "voting")}
    assert garden.listener("voting", "r") == ""
    assert garden.settle() == []
    assert garden.wanted() == {("Listener", "voting"), ("RouteConfiguration", "r")}
    garden.routes("r", "c")
    assert garden.settle() == []
    assert ("Cluster", "c") in garden.wanted()
    garden.cluster("c", "e")
    assert garden.settle() == []
    assert ("ClusterLoadAssignment", "e") in garden.wanted()
    assert garden.tree.known("voting") is None
    garden.endpoints("e", A)
    [(name, destination)] = garden.settle()
    assert name == "voting"
    assert addresses(destination) == {"c": ["10.0.0.1:80"]}
    assert garden.tree.known("voting") == destination


def test_any_order_will_do() -> None:
    garden = Garden()
    garden.tree.want("n")
    garden.endpoints("n", A)
    garden.cluster("n")
    garden.routes("n", "n")
    garden.listener("n", "n")
    assert [name for name, _ in garden.settle()] == ["n"]


def test_no_endpoints_are_known_endpoints() -> None:
    garden = Garden()
    garden.service("n")
    [(_, destination)] = garden.settle()
    assert addresses(destination) == {"n": []}


def test_equal_again_is_no_news() -> None:
    garden = Garden()
    garden.service("n", A)
    garden.settle()
    garden.endpoints("n", A, version="2")
    assert garden.settle() == []
    garden.endpoints("n", A, B, version="3")
    assert len(garden.settle()) == 1


def test_the_old_route_stays_until_the_new_cluster_has_endpoints() -> None:
    garden = Garden()
    garden.service("n", A)
    garden.settle()
    garden.routes("n", "new")
    assert garden.settle() == []
    # Meanwhile the old one goes on to follow its endpoints.
    garden.endpoints("n", A, B)
    [(_, destination)] = garden.settle()
    assert addresses(destination) == {"n": ["10.0.0.1:80", "10.0.0.2:80"]}
    garden.cluster("new")
    assert garden.settle() == []
    garden.endpoints("new", B)
    [(_, destination)] = garden.settle()
    assert addresses(destination) == {"new": ["10.0.0.2:80"]}
    assert ("Cluster", "n") not in garden.wanted()
    assert ("ClusterLoadAssignment", "n") not in garden.wanted()


def test_a_cluster_that_moves_to_other_endpoints_keeps_the_old_ones_until_they_are_here() -> None:
    garden = Garden()
    garden.service("n", A)
    garden.settle()
    garden.cluster("n", "other")
    assert garden.settle() == []
    garden.endpoints("n", B)
    assert addresses(garden.settle()[0][1]) == {"n": ["10.0.0.2:80"]}
    garden.endpoints("other", A)
    assert addresses(garden.settle()[0][1]) == {"n": ["10.0.0.1:80"]}


def test_a_change_of_mind_before_the_new_cluster_is_here() -> None:
    garden = Garden()
    garden.service("n", A)
    garden.settle()
    garden.routes("n", "new")
    garden.settle()
    garden.routes("n", "n", version="3")
    assert garden.settle() == []
    assert ("Cluster", "new") not in garden.wanted()


def test_removals_of_all_but_listeners_keep_the_last_good() -> None:
    garden = Garden()
    garden.service("n", A)
    [(_, destination)] = garden.settle()
    for type_url in (ROUTE, CLUSTER, ENDPOINTS):
        garden.tree.remove(type_url, "n")
        assert garden.settle() == []
        assert garden.tree.known("n") == destination


def test_a_removed_listener_is_a_destination_that_does_not_exist() -> None:
    garden = Garden()
    garden.service("n", A)
    garden.settle()
    garden.tree.remove(LISTENER, "n")
    assert garden.settle() == [("n", None)]
    assert garden.tree.known("n") is None
    assert garden.tree.is_missing("n")
    assert garden.wanted() == {("Listener", "n")}
    # It comes back, and nothing of its earlier life is used.
    garden.listener("n", "n")
    assert garden.settle() == []
    assert not garden.tree.is_missing("n")
    garden.routes("n", "n")
    garden.cluster("n")
    garden.endpoints("n", B)
    assert addresses(garden.settle()[0][1]) == {"n": ["10.0.0.2:80"]}


def test_missing_from_the_start_is_said_once() -> None:
    garden = Garden()
    garden.tree.want("n")
    garden.tree.remove(LISTENER, "n")
    assert garden.settle() == [("n", None)]
    garden.tree.remove(LISTENER, "n")
    assert garden.settle() == []


def test_shared_resources_stay_as_long_as_one_refers_to_them() -> None:
    garden = Garden()
    garden.service("n", A)
    garden.service("n", A, alias="alias")
    garden.settle()
    assert addresses(garden.tree.known("alias")) == addresses(garden.tree.known("n")) == {"n": ["10.0.0.1:80"]}
    garden.tree.drop("n")
    assert garden.settle() == [("n", None)]
    garden.endpoints("n", B)
    assert [name for name, _ in garden.settle()] == ["alias"]
    garden.tree.drop("alias")
    assert garden.settle() == [("alias", None)]
    assert garden.wanted() == set()
    assert garden.tree.good == {}


def test_all_clusters_of_all_routes_must_be_here() -> None:
    garden = Garden()
    garden.tree.want("n")
    garden.listener("n", "n")
    garden.routes("n", "x", "y", "x")
    garden.cluster("x")
    garden.endpoints("x", A)
    assert garden.settle() == []
    garden.cluster("y")
    garden.endpoints("y", B)
    [(_, destination)] = garden.settle()
    assert addresses(destination) == {"x": ["10.0.0.1:80"], "y": ["10.0.0.2:80"]}


def test_what_cannot_be_read_changes_nothing() -> None:
    garden = Garden()
    garden.service("n", A)
    [(_, destination)] = garden.settle()
    for type_url in (LISTENER, ROUTE, CLUSTER, ENDPOINTS):
        assert garden.tree.put(make_resource(type_url, "n", "2", b"\xff")) != ""
    assert garden.settle() == []
    assert garden.tree.known("n") == destination


def test_a_name_must_be_its_own() -> None:
    garden = Garden()
    assert garden.tree.put(make_resource(ROUTE, "n", "1", make_routes("m", "c"))) == "it names itself m"
    assert garden.tree.put(make_resource(CLUSTER, "n", "1", make_cluster("m"))) == "it names itself m"


def test_dropped_and_wanted_again_starts_anew() -> None:
    garden = Garden()
    garden.service("n", A)
    garden.settle()
    garden.tree.drop("n")
    garden.tree.want("n")
    assert garden.settle() == [("n", None)]
    garden.service("n", A)
    assert len(garden.settle()) == 1


def test_good_is_what_is_in_force() -> None:
    garden = Garden(keep_bodies=True)
    garden.service("n", A)
    assert garden.tree.good == {}
    garden.settle()
    assert {key: resource.version for key, resource in garden.tree.good.items()} == {
        (LISTENER, "n"): "1",
        (ROUTE, "n"): "1",
        (CLUSTER, "n"): "1",
        (ENDPOINTS, "n"): "1",
    }
    garden.routes("n", "new", version="2")
    garden.settle()
    assert garden.tree.good[ROUTE, "n"].version == "1"
    garden.cluster("new")
    garden.endpoints("new", B)
    garden.settle()
    assert garden.tree.good[ROUTE, "n"].version == "2"
    assert set(garden.tree.good) == {(LISTENER, "n"), (ROUTE, "n"), (CLUSTER, "new"), (ENDPOINTS, "new")}
    garden.tree.remove(LISTENER, "n")
    garden.settle()
    assert garden.tree.good == {}


def test_what_is_too_large_is_refused_unread() -> None:
    garden = Garden()
    garden.tree.want("voting")
    assert "are above" in garden.tree.put(make_resource(LISTENER, "voting", "1", b"x" * (MAX_BODY_BYTES + 1)))
