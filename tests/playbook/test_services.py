"""What an original destination means, row by row of DESIGN 3.5: it decides, and an authority never leads out of it."""

from __future__ import annotations

import random

import pytest

from proxy.clusters import Clusters
from proxy.codec.detect import MORE, OPAQUE
from proxy.destinations import Destinations, OnChange
from proxy.originals import Direct
from proxy.relay.opaque import BalancedWay, DirectWay
from proxy.route import model
from proxy.route.hints import OPAQUE_PORTS
from proxy.services import Services
from tests.playbook.mesh import ControlPlane

VOTING = ("10.96.0.1", 80)
POD_A, POD_B = ("10.0.0.1", 8080), ("10.0.0.2", 8080)
ELSEWHERE = ("192.0.2.1", 443)
VOTING_NAME = "voting.shop.svc.cluster.local:80"
DB_NAME = "db.shop.svc.cluster.local:8080"


class Town:
    """A Service with a cluster address, a headless one over the same two pods, and the pods."""

    def __init__(self, by_name: bool = True) -> None:
        self.dialled: list[str] = []
        self.clusters = Clusters(lambda link: None, lambda: None, ahead=False)
        self.destinations = Destinations(
            self.clusters, lambda: None, self._connect, lambda: None, lambda call: call(), lambda: 1.0
        )
        self.direct = Direct(self.clusters)
        self.services = Services(self.destinations, self.clusters, self.direct)
        pods = tuple(model.Endpoint(*pod) for pod in (POD_A, POD_B))
        self.tell("10.96.0.1:80", model.Cluster(VOTING_NAME, pods))
        for host in ("db:8080", "db.shop:8080", "db.shop.svc.cluster.local:8080"):
            self.tell(host, model.Cluster(DB_NAME, pods, by_name=by_name))
        for pod in pods:
            self.tell(str(pod), model.Cluster(str(pod), (pod,)))

    def _connect(self, on_change: OnChange) -> ControlPlane:
        self.control = ControlPlane(on_change)
        return self.control

    def tell(self, name: str, cluster: model.Cluster) -> None:
        route = model.Route("all", ("*",), model.ANY_PATH, cluster.name)
        self.control.on_change(name, model.Destination(name, (route,), (cluster,)))

    def route(self, original: tuple[str, int], authority: str) -> str:
        return self.services.route(original, authority.encode(), b"/")[0]


@pytest.mark.parametrize("authority", ["voting", "db:8080", "10.0.0.1:8080", "nowhere.example", "", "voting.other"])
def test_a_service_s_address_is_that_service_whatever_the_authority_says(authority: str) -> None:
    assert Town().route(VOTING, authority) == VOTING_NAME


@pytest.mark.parametrize("authority", ["db:8080", "db", "db:80", "DB.shop", "db.shop.svc.cluster.local:8080"])
def test_a_pod_in_the_name_of_a_headless_service_is_that_service(authority: str) -> None:
    assert Town().route(POD_A, authority) == DB_NAME


@pytest.mark.parametrize(
    "authority", ["voting", "10.0.0.2:8080", "10.96.0.1:80", "nowhere", "", "db.other", "a b", "*"]
)
def test_a_pod_in_any_other_name_is_that_pod(authority: str) -> None:
    assert Town().route(POD_A, authority) == "10.0.0.1:8080"


def test_a_pod_of_a_stateful_set_is_that_pod() -> None:
    assert Town(by_name=False).route(POD_A, "db:8080") == "10.0.0.1:8080"


def test_a_pod_that_is_no_ready_endpoint_of_the_service_is_that_pod() -> None:
    town = Town()
    late = ("10.0.0.3", 8080)
    town.tell("10.0.0.3:8080", model.Cluster("10.0.0.3:8080", (model.Endpoint(*late),)))
    assert town.route(late, "db:8080") == "10.0.0.3:8080"


def test_equal_names_in_two_namespaces() -> None:
    """The control plane completes a short name for this pod's namespace; a longer one is the other's."""
    town = Town()
    other = model.Cluster("db.other.svc.cluster.local:8080", (model.Endpoint("10.0.9.1", 8080),), by_name=True)
    town.tell("db.other:8080", other)
    assert town.route(POD_A, "db") == DB_NAME
    assert town.route(POD_A, "db.other") == "10.0.0.1:8080"


def test_what_is_not_known_goes_where_it_was_going() -> None:
    town = Town()
    for authority in ("voting", "db:8080", "example.org", ""):
        assert town.route(ELSEWHERE, authority) == "192.0.2.1:443"
    assert [str(endpoint) for endpoint in town.clusters.wishes["192.0.2.1:443"].endpoints] == ["192.0.2.1:443"]


def test_once_it_is_known_new_requests_go_there() -> None:
    town = Town()
    assert town.route(("10.96.0.9", 80), "x") == "10.96.0.9:80"
    town.tell("10.96.0.9:80", model.Cluster("late.shop.svc.cluster.local:80", (model.Endpoint(*POD_B),)))
    assert town.route(("10.96.0.9", 80), "x") == "late.shop.svc.cluster.local:80"
    assert town.services.release(("10.96.0.9", 80)) == []
    assert "10.96.0.9:80" not in town.clusters.wishes


def test_100_000_hosts_lead_nowhere_else() -> None:
    town = Town()
    rng = random.Random(7)
    letters = "abdov.:-[]0129_* "
    hosts = {"".join(rng.choices(letters, k=rng.randrange(12))) for _ in range(100_000)}
    assert {town.route(VOTING, host) for host in hosts} == {VOTING_NAME}
    assert {town.route(ELSEWHERE, host) for host in hosts} == {"192.0.2.1:443"}
    found = {host: town.route(POD_A, host) for host in hosts}
    assert set(found.values()) == {"10.0.0.1:8080", DB_NAME}
    assert {host.partition(":")[0] for host, name in found.items() if name == DB_NAME} == {"db", "db."}


def test_raw_connections_go_to_the_same_places() -> None:
    town = Town()
    way = town.services.way(VOTING)
    assert isinstance(way, BalancedWay)
    assert way.cluster.name == VOTING_NAME
    other = town.services.way(ELSEWHERE)
    assert isinstance(other, DirectWay)
    assert other.address == ELSEWHERE


def test_a_connection_waits_for_the_answer_and_no_longer() -> None:
    town = Town()
    called: list[str] = []
    town.services.prepare(VOTING, lambda: called.append("known"))
    town.services.prepare(("10.96.0.7", 80), lambda: called.append("told"))
    town.services.prepare(("10.96.0.8", 80), lambda: called.append("late"))
    assert called == ["known"]
    town.control.deny("10.96.0.7:80")
    assert called == ["known", "told"]
    town.destinations.tick(1.1)
    assert called == ["known", "told"]
    town.destinations.tick(1.3)
    assert called == ["known", "told", "late"]


@pytest.mark.parametrize(
    ("protocol", "port", "expected"),
    [
        (model.HTTP2, 80, (MORE, True)),
        (model.HTTP1, 80, (MORE, True)),
        (model.OPAQUE, 80, (OPAQUE, False)),
        ("", 80, (MORE, False)),
        (model.DETECT, 80, (MORE, False)),
        # Where the port alone says that its server speaks first, whoever knows better has the last word.
        ("", 6379, (OPAQUE, False)),
        (model.HTTP2, 6379, (MORE, True)),
        (model.HTTP1, 6379, (MORE, True)),
        (model.DETECT, 6379, (MORE, False)),
    ],
)
def test_what_the_control_plane_says_of_a_port_is_expected(
    protocol: str, port: int, expected: tuple[int, bool]
) -> None:
    town = Town()
    town.tell(f"10.96.0.5:{port}", model.Cluster("x:80", (model.Endpoint(*POD_A),), protocol=protocol))
    found = town.services.expect(("10.96.0.5", port))
    assert (found.kind, found.is_http) == expected


def test_ports_of_servers_that_speak_first_are_opaque() -> None:
    town = Town()
    assert {port for port in range(1, 12_000) if town.services.expect(("192.0.2.1", port)).kind} == OPAQUE_PORTS


def test_what_is_said_to_an_http_proxy_goes_on_only_where_nobody_knows_the_destination() -> None:
    town = Town()
    direct = Direct(town.clusters, passes_proxies=True)
    services = Services(town.destinations, town.clusters, direct)
    assert services.expect(ELSEWHERE).passes_proxies
    assert direct.expect(ELSEWHERE).passes_proxies
    assert not services.expect(VOTING).passes_proxies
    assert not services.expect(POD_A).passes_proxies
    # As the inbound direction has it.
    assert not town.direct.expect(POD_A).passes_proxies
