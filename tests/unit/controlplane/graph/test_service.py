"""What one Service comes to: targets per port, cluster addresses, hostnames, external names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.graph import service
from controlplane.graph.build import build
from controlplane.graph.mesh import DETECT, GRPC, HTTP1, HTTP2, NOT_OPAQUE, TCP, Mesh
from controlplane.graph.service import HEADLESS, MAX_TARGETS, resolve
from controlplane.model.objects import Object, ServicePort, SliceEndpoint, SlicePort
from controlplane.model.snapshot import Snapshot
from mesh.ports import OPAQUE_PORTS
from tests.unit.controlplane.graph.shop import (
    addresses,
    make_endpoint,
    make_headless,
    make_pod,
    make_service,
    make_slice,
    make_snapshot,
)

A, B = make_pod("a", "10.0.0.1"), make_pod("b", "10.0.0.2")
WEB, DB = "web.shop.svc.cluster.local", "db.shop.svc.cluster.local"


def mesh_of(*objects: Object) -> Mesh:
    return build(make_snapshot(*objects))


def test_an_empty_cluster_is_an_empty_mesh() -> None:
    assert mesh_of() == Mesh()


def test_a_target_per_tcp_port_joined_by_name() -> None:
    web = make_service(
        "web",
        ServicePort("grpc-api", 80),
        ServicePort("admin", 81, app_protocol="http"),
        ServicePort("dns", 53, "UDP"),
        ServicePort("dns-tcp", 53),
        ServicePort("sctp", 54, "SCTP"),
    )
    ports = SlicePort("grpc-api", 8080), SlicePort("dns", 5353, "UDP"), SlicePort("dns-tcp", 5354)
    mesh = mesh_of(web, A, make_slice(make_endpoint(A), ports=ports))
    assert sorted(mesh.targets) == [f"{WEB}:53", f"{WEB}:80", f"{WEB}:81"]
    assert addresses(mesh, f"{WEB}:80") == ["10.0.0.1:8080"]
    assert addresses(mesh, f"{WEB}:53") == ["10.0.0.1:5354"]
    assert addresses(mesh, f"{WEB}:81") == []
    assert [mesh.targets[f"{WEB}:{port}"].protocol for port in (80, 81)] == [GRPC, HTTP1]
    assert mesh.targets[f"{WEB}:80"].port_name == "grpc-api"


def test_a_udp_port_of_the_same_name_is_another() -> None:
    ports = SlicePort("", 5353, "UDP"), SlicePort("", 8080)
    assert addresses(mesh_of(make_service(), A, make_slice(make_endpoint(A), ports=ports))) == ["10.0.0.1:8080"]


def test_each_slice_has_its_own_number_for_a_named_port() -> None:
    old = make_slice(make_endpoint(A), name="old")
    new = make_slice(make_endpoint(B), name="new", ports=(SlicePort("", 9090),))
    assert addresses(mesh_of(make_service(), A, B, old, new)) == ["10.0.0.1:8080", "10.0.0.2:9090"]


def test_a_slice_that_leaves_the_port_open_means_the_services() -> None:
    assert addresses(mesh_of(make_service(), A, make_slice(make_endpoint(A), ports=(SlicePort("", 0),)))) == [
        "10.0.0.1:80"
    ]


def test_the_slice_says_the_protocol_where_the_service_does_not() -> None:
    item = make_slice(make_endpoint(A), ports=(SlicePort("", 8080, app_protocol="kubernetes.io/h2c"),))
    assert mesh_of(make_service(), A, item).targets[f"{WEB}:80"].protocol == HTTP2


def test_of_a_port_that_is_there_twice_the_first_counts() -> None:
    mesh = mesh_of(make_service("web", ServicePort("one", 80), ServicePort("two", 80)))
    assert mesh.targets[f"{WEB}:80"].port_name == "one"


def test_cluster_addresses_lead_to_the_name() -> None:
    mesh = mesh_of(make_service(cluster_ips=("10.96.0.1", "fd00:96::1"), local_only=True))
    assert mesh.addresses == {"10.96.0.1:80": f"{WEB}:80", "[fd00:96::1]:80": f"{WEB}:80"}
    assert mesh.targets[f"{WEB}:80"].local_only
    assert mesh.targets[f"{WEB}:80"].cluster_ips == ("10.96.0.1", "fd00:96::1")
    assert mesh.hosts == {}


def test_an_address_that_two_claim_is_the_firsts_by_name() -> None:
    mesh = mesh_of(make_service(cluster_ips=("10.96.0.1",)), make_service("alpha", cluster_ips=("10.96.0.1",)))
    assert mesh.addresses == {"10.96.0.1:80": "alpha.shop.svc.cluster.local:80"}


def test_the_domain_is_the_clusters() -> None:
    assert list(build(make_snapshot(make_service()), domain="mesh.test").targets) == ["web.shop.svc.mesh.test:80"]


def test_ports_that_are_declared_opaque() -> None:
    web = make_service("web", ServicePort("grpc", 80), ServicePort("http", 3306), annotations=((OPAQUE_PORTS, "3306"),))
    mesh = mesh_of(web)
    assert [mesh.targets[f"{WEB}:{port}"].protocol for port in (80, 3306)] == [GRPC, TCP]


def test_an_annotation_that_leaves_a_port_out_makes_it_not_opaque() -> None:
    mesh = mesh_of(make_service("web", ServicePort("", 3306), annotations=((OPAQUE_PORTS, ""),)))
    assert mesh.targets[f"{WEB}:3306"].protocol == NOT_OPAQUE


@pytest.mark.parametrize(
    ("lists", "app_protocol", "expected"),
    [
        (("8000-8080", "8080"), "", TCP),
        (("8080", "8081"), "", DETECT),
        (("8080", None), "", DETECT),
        (("8081", ""), "", NOT_OPAQUE),
        (("8080", "8080"), "grpc", GRPC),
        ((None, None), "", DETECT),
    ],
)
def test_where_a_service_says_nothing_its_pods_may(
    lists: tuple[str | None, str | None], app_protocol: str, expected: str
) -> None:
    pods = [replace(pod, opaque_ports=text) for pod, text in zip((A, B), lists, strict=True)]
    web = make_service("web", ServicePort("", 80, app_protocol=app_protocol))
    mesh = mesh_of(web, *pods, make_slice(*map(make_endpoint, pods)))
    assert mesh.targets[f"{WEB}:80"].protocol == expected


def test_what_is_spoken_is_said_of_each_endpoint_too() -> None:
    ports = SlicePort("db", 5000), SlicePort("any", 5001)
    db = make_headless("db", ServicePort("db", 80, app_protocol="tcp"), ServicePort("any", 81))
    mesh = mesh_of(db, A, B, make_slice(make_endpoint(A), make_endpoint(B), service="db", ports=ports))
    assert mesh.spoken == {"10.0.0.1:5000": TCP, "10.0.0.2:5000": TCP}


def test_what_one_service_says_twice_of_an_endpoint_is_not_known() -> None:
    ports = SlicePort("grpc", 8080), SlicePort("http", 8080), SlicePort("web", 8080)
    web = make_service("web", ServicePort("grpc", 80), ServicePort("http", 81), ServicePort("web", 82))
    assert mesh_of(web, A, make_slice(make_endpoint(A), ports=ports)).spoken == {}


class TestHeadless:
    def test_answers_at_its_port_and_at_any(self) -> None:
        mesh = mesh_of(make_headless(), A, make_slice(make_endpoint(A), service="db"))
        assert mesh.targets[f"{DB}:80"].by_name
        assert addresses(mesh, f"{DB}:80") == ["10.0.0.1:8080"]
        assert [(item.host, item.port) for item in mesh.hosts[DB].endpoints] == [("10.0.0.1", 0)]
        assert mesh.addresses == {}

    def test_without_ports_answers_at_any(self) -> None:
        web = make_headless()
        web = type(web)("shop", "db", headless=True)
        mesh = mesh_of(web, A, make_slice(make_endpoint(A), service="db", ports=()))
        assert mesh.targets == {}
        assert [item.host for item in mesh.hosts[DB].endpoints] == ["10.0.0.1"]

    def test_each_hostname_is_a_target(self) -> None:
        first, second = make_pod("db-0", "10.0.0.1"), make_pod("db-1", "10.0.0.2")
        item = make_slice(
            make_endpoint(first, hostname="db-0"),
            make_endpoint(second, hostname="db-1", ready=False, serving=False),
            service="db",
        )
        mesh = mesh_of(make_headless(), first, second, item)
        assert addresses(mesh, f"{DB}:80") == ["10.0.0.1:8080"]
        assert addresses(mesh, f"db-0.{DB}:80") == ["10.0.0.1:8080"]
        assert addresses(mesh, f"db-1.{DB}:80") == []
        assert sorted(mesh.hosts) == [f"db-0.{DB}", f"db-1.{DB}", DB]
        assert [name for name, target in mesh.targets.items() if target.by_name] == [f"{DB}:80"]

    @pytest.mark.parametrize(
        ("kind", "wish", "by_name"),
        [
            ("deployment", "", True),
            ("deployment", "exact", False),
            ("statefulset", "", False),
            ("statefulset", "balance", True),
            ("statefulset", "what", False),
        ],
    )
    def test_a_pod_that_is_dialled_in_its_name(self, kind: str, wish: str, by_name: bool) -> None:
        pod = make_pod("db-0", "10.0.0.1", workload_kind=kind)
        annotations = ((HEADLESS, wish),) if wish else ()
        mesh = mesh_of(make_headless(annotations=annotations), pod, make_slice(make_endpoint(pod), service="db"))
        assert mesh.targets[f"{DB}:80"].by_name == by_name

    def test_a_hostname_whose_pod_ends_serves_to_its_end(self) -> None:
        first, second = make_pod("db-0", "10.0.0.1", terminating=True), make_pod("db-1", "10.0.0.2")
        endpoints = [make_endpoint(pod, hostname=pod.name) for pod in (first, second)]
        mesh = mesh_of(make_headless(), first, second, make_slice(*endpoints, service="db"))
        assert addresses(mesh, f"{DB}:80") == ["10.0.0.2:8080"]
        assert addresses(mesh, f"db-0.{DB}:80") == ["10.0.0.1:8080"]

    def test_hostnames_of_other_services_are_no_names(self) -> None:
        mesh = mesh_of(make_service(), A, make_slice(make_endpoint(A, hostname="a")))
        assert list(mesh.targets) == [f"{WEB}:80"]


class TestExternalName:
    def test_leads_to_a_dns_name_at_its_ports_and_at_any(self) -> None:
        web = make_service("web", ServicePort("https", 443), kind="ExternalName", external_name="web.example")
        mesh = mesh_of(web, make_slice(make_endpoint("192.0.2.1")))
        assert mesh.targets[f"{WEB}:443"].external == ("web.example", 443)
        assert mesh.targets[f"{WEB}:443"].endpoints == ()
        assert mesh.hosts[WEB].external == ("web.example", 0)

    def test_without_the_name_is_nothing(self) -> None:
        assert mesh_of(make_service(kind="ExternalName")) == Mesh()


class TestBounds:
    """Ports times endpoints, and hostnames times ports, are more than the objects that make them."""

    def crowd(self, count: int) -> list[SliceEndpoint]:
        return [make_endpoint(f"10.1.{n // 250}.{n % 250}", hostname=f"db-{n:04}") for n in range(count)]

    def test_the_lowest_ports_count_and_no_address_leads_to_what_is_left_out(self) -> None:
        ports = [ServicePort(f"p{number}", number) for number in range(MAX_TARGETS + 1, 0, -1)]
        share = resolve(make_service("web", *ports, cluster_ips=("10.96.0.1",)), [], Snapshot(), (), "cluster.local")
        assert [target.port for target in share.targets.values()] == list(range(1, MAX_TARGETS + 1))
        assert set(share.addresses.values()) == share.targets.keys()
        assert share.left_out == 1

    def test_endpoints_count_whether_they_serve_or_not(self) -> None:
        ports = [ServicePort(f"p{number}", number) for number in range(1, 121)]
        listed = tuple(SlicePort(port.name, port.port) for port in ports)
        endpoints = [replace(endpoint, ready=bool(number % 2)) for number, endpoint in enumerate(self.crowd(1_000))]
        item = make_slice(*endpoints, ports=listed)
        share = resolve(make_service("web", *ports), [item], Snapshot(), (), "cluster.local")
        assert [target.port for target in share.targets.values()] == list(range(1, 101))
        assert share.left_out == 20

    def test_hostnames_go_first_from_the_last_one_on(self) -> None:
        item = make_slice(*self.crowd(MAX_TARGETS), service="db")
        share = resolve(make_headless(), [item], Snapshot(), (), "cluster.local")
        assert share.left_out == 1
        assert f"{DB}:80" in share.targets
        assert f"db-{MAX_TARGETS - 2:04}.{DB}:80" in share.targets
        assert f"db-{MAX_TARGETS - 1:04}.{DB}:80" not in share.targets

    def test_the_first_is_let_in_however_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "MAX_ENTRIES", 1)
        assert len(addresses(mesh_of(make_service(), make_slice(*self.crowd(3))))) == 3

    def test_an_external_name_has_ports_too(self) -> None:
        ports = [ServicePort(f"p{number}", number) for number in range(1, MAX_TARGETS + 4)]
        web = make_service("web", *ports, kind="ExternalName", external_name="web.example")
        share = resolve(web, [], Snapshot(), (), "cluster.local")
        assert (len(share.targets), share.left_out) == (MAX_TARGETS, 3)


def test_ports_of_the_same_numbers_share_their_endpoints() -> None:
    ports = ServicePort("a", 80), ServicePort("b", 81), ServicePort("c", 82)
    listed = SlicePort("a", 8080), SlicePort("b", 8080), SlicePort("c", 8082)
    targets = mesh_of(make_service("web", *ports), A, make_slice(make_endpoint(A), ports=listed)).targets
    assert targets[f"{WEB}:80"].endpoints is targets[f"{WEB}:81"].endpoints
    assert targets[f"{WEB}:82"].endpoints == (replace(targets[f"{WEB}:80"].endpoints[0], port=8082),)


class TestPods:
    def test_are_known_by_each_ip(self) -> None:
        mesh = mesh_of(make_pod("a", "10.0.0.1", "fd00::1", node="node-1"))
        assert {ip: (item.host, item.port, item.pod, item.node) for ip, item in mesh.pods.items()} == {
            "10.0.0.1": ("10.0.0.1", 0, "a", "node-1"),
            "fd00::1": ("fd00::1", 0, "a", "node-1"),
        }
        assert mesh.pods["fd00::1"].workload.name == "a-workload"

    @pytest.mark.parametrize("more", [{"finished": True}, {"host_network": True}])
    def test_not_those_that_have_no_ip_of_their_own(self, more: dict[str, bool]) -> None:
        assert mesh_of(make_pod("a", "10.0.0.1", **more)).pods == {}

    def test_a_newcomer_has_the_ip_of_one_that_ends(self) -> None:
        ending = make_pod("a", "10.0.0.1", terminating=True)
        assert mesh_of(ending).pods["10.0.0.1"].pod == "a"
        assert mesh_of(ending, make_pod("b", "10.0.0.1")).pods["10.0.0.1"].pod == "b"

    def test_an_ip_that_two_hold_says_nothing_of_who(self) -> None:
        (endpoint,) = mesh_of(A, make_pod("b", "10.0.0.1")).pods.values()
        assert (endpoint.host, endpoint.pod, endpoint.workload.name) == ("10.0.0.1", "", "")
