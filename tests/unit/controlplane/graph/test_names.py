"""Names as Kubernetes' DNS would find them, for a client of a namespace; and names that mean harm."""

from __future__ import annotations

import string
from random import Random

import pytest

from controlplane.graph.build import build
from controlplane.graph.mesh import DETECT, GRPC, NOT_OPAQUE, TCP, Mesh
from controlplane.graph.names import candidates, keys, lookup, resolve
from controlplane.model.objects import Service, ServicePort, Slice, SlicePort
from tests.unit.controlplane.graph.shop import (
    make_endpoint,
    make_headless,
    make_pod,
    make_service,
    make_slice,
    make_snapshot,
)

DOMAIN = "cluster.local"
WEB, DB = "web.shop.svc.cluster.local", "db.shop.svc.cluster.local"
PODS = make_pod("db-0", "10.0.0.1"), make_pod("db-1", "fd00::1", uid="six")


def make_mesh() -> Mesh:
    return build(
        make_snapshot(
            make_service(
                "web", ServicePort("", 80), ServicePort("admin", 8080), cluster_ips=("10.96.0.1", "fd00:96::1")
            ),
            make_headless(),
            make_service("k"),
            make_slice(make_endpoint(PODS[0], hostname="db-0"), service="db"),
            make_service("out", kind="ExternalName", external_name="out.example"),
            Service("other", "web", ports=(ServicePort("", 80),)),
            Service("web", "db", ports=(ServicePort("", 80),)),
            *PODS,
        )
    )


MESH = make_mesh()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("web", f"{WEB}:80"),
        ("web:8080", f"{WEB}:8080"),
        ("web:080", f"{WEB}:80"),
        ("web:", f"{WEB}:80"),
        ("WEB.Shop", f"{WEB}:80"),
        ("web.shop:80", f"{WEB}:80"),
        ("web.shop.svc", f"{WEB}:80"),
        ("web.shop.svc.cluster.local", f"{WEB}:80"),
        ("web.shop.svc.cluster.local.", f"{WEB}:80"),
        ("web.shop.svc.cluster.local.:8080", f"{WEB}:8080"),
        ("web.other", "web.other.svc.cluster.local:80"),
        ("web.", None),
        ("web.shop.svc.", None),
        ("web:81", None),
        ("web:0", None),
        ("web:65536", None),
        ("web:80:80", None),
        ("web.nowhere", None),
        ("web.shop.svc.cluster.local.example", None),
        ("user@web", None),
        ("web/path", None),
        ("", None),
        (":80", None),
        (".", None),
        ("..", None),
        ("wéb", None),
        ("\u212a", None),  # the Kelvin sign, of which the lower case is k
        ("web\n", None),
        ("db-0.db", f"db-0.{DB}:80"),
        ("db-0.db.shop", f"db-0.{DB}:80"),
        ("db-0.db.shop.svc:80", f"db-0.{DB}:80"),
        (f"db-0.{DB}", f"db-0.{DB}:80"),
        ("db.web", "db.web.svc.cluster.local:80"),
        ("10.96.0.1", f"{WEB}:80"),
        ("10.96.0.1:8080", f"{WEB}:8080"),
        ("10.96.0.1:81", None),
        ("[fd00:96::1]:8080", f"{WEB}:8080"),
        ("[FD00:96:0::1]", f"{WEB}:80"),
        ("fd00:96::1", f"{WEB}:80"),
        ("[::ffff:10.96.0.1]:80", f"{WEB}:80"),
        ("10.0.0.1:9999", "10.0.0.1:9999"),
        ("[fd00::1]:9999", "[fd00::1]:9999"),
        ("10.0.0.2:80", None),
        ("10.0.0.01:80", None),
        ("[fe80::1%eth0]:80", None),
        ("db:9999", f"{DB}:9999"),
        ("db-0.db:9999", f"db-0.{DB}:9999"),
        ("out:443", "out.shop.svc.cluster.local:443"),
        ("web:9999", None),
    ],
)
def test_what_a_client_of_shop_means(name: str, expected: str | None) -> None:
    target = resolve(MESH, name, "shop")
    assert (target.name if target else None) == expected


def test_the_namespace_completes_short_names() -> None:
    target = resolve(MESH, "web", "other")
    assert target is not None
    assert target.namespace == "other"
    assert resolve(MESH, "web", "nowhere") is None
    assert resolve(MESH, "web", "") is None


def test_the_first_candidate_that_exists_is_meant() -> None:
    assert candidates("a.b", "ns", DOMAIN) == ("a.b.ns.svc.cluster.local:80", "a.b.svc.cluster.local:80")
    assert candidates("a.b.svc", "ns", DOMAIN) == ("a.b.svc.svc.cluster.local:80", "a.b.svc.cluster.local:80")


def test_any_port_of_a_name_that_stands_for_pods() -> None:
    target = lookup(MESH, f"{DB}:5432")
    assert target is not None
    assert (target.port, target.service, [(e.host, e.port) for e in target.endpoints]) == (
        5432,
        "db",
        [("10.0.0.1", 5432)],
    )
    assert target.endpoints[0].workload.name == "db-0-workload"
    declared = lookup(MESH, f"{DB}:80")
    assert declared is MESH.targets[f"{DB}:80"]
    assert [e.port for e in declared.endpoints] == [8080]


def test_a_pod_knows_best_what_its_ports_speak_then_its_services() -> None:
    pod = make_pod("a", "10.0.0.9", opaque_ports="7000-7010")
    db = make_headless("db", ServicePort("one", 80, app_protocol="grpc"), ServicePort("two", 81, app_protocol="grpc"))
    ports = SlicePort("one", 7000), SlicePort("two", 9000)
    mesh = build(make_snapshot(db, pod, *PODS, make_slice(make_endpoint(pod), service="db", ports=ports)))
    spoken = {}
    for name in ("10.0.0.9:7000", "10.0.0.9:9000", "10.0.0.9:5432", "10.0.0.1:5432"):
        target = lookup(mesh, name)
        assert target is not None
        spoken[name] = target.protocol
    assert list(spoken.values()) == [TCP, GRPC, NOT_OPAQUE, DETECT]


def test_any_port_of_an_external_name() -> None:
    target = lookup(MESH, "out.shop.svc.cluster.local:443")
    assert target is not None
    assert target.external == ("out.example", 443)


def test_a_pod_by_its_ip() -> None:
    target = lookup(MESH, "10.0.0.1:9999")
    assert target is not None
    assert (target.namespace, target.service, target.port) == ("shop", "", 9999)
    assert [(e.host, e.port, e.pod) for e in target.endpoints] == [("10.0.0.1", 9999, "db-0")]


@pytest.mark.parametrize(
    "name",
    [
        *("", ":", "80", ":80", "10.0.0.1", "10.0.0.1:", "10.0.0.1:080", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:٣"),
        *(
            f"{DB}:080",
            f"{DB}:٣",
            "[10.0.0.1]:80",
            "fd00::1:80",
            "[fd00::1]",
            f"{DB}:x",
            f"{DB}:-1",
            f"{DB}:{'9' * 5000}",
            DB,
        ),
    ],
)
def test_only_the_canonical_spelling_is_a_name(name: str) -> None:
    assert lookup(MESH, name) is None


def test_keys_name_all_that_an_answer_depends_on() -> None:
    assert keys(f"{DB}:80") == (f"{DB}:80", DB)
    assert keys("10.0.0.1:80") == ("10.0.0.1:80", "10.0.0.1")
    assert keys("[fd00::1]:80") == ("[fd00::1]:80", "fd00::1")


def test_a_hundred_thousand_hostile_names() -> None:
    rng = Random(4)
    pieces = [
        "web",
        "shop",
        "svc",
        "cluster.local",
        ".",
        ":",
        "80",
        "[",
        "]",
        "::",
        "%",
        "\x00",
        "é",
        "ﬀ",
        "-",
        "1",
        "@",
        "/",
    ]
    alphabet = string.printable + "éß\u2028\U0001f600\ud800"
    known = {*MESH.targets, *MESH.addresses}
    for _ in range(100_000):
        if rng.random() < 0.5:
            name = "".join(rng.choices(pieces, k=rng.randrange(12)))
        else:
            name = "".join(rng.choices(alphabet, k=rng.choice([3, 20, 300])))
        found = candidates(name, rng.choice(["shop", "", "a.b", name]), DOMAIN)
        assert len(found) <= 3
        for candidate in found:
            assert len(candidate) <= 600
            host, _, port = candidate.rpartition(":")
            assert 0 < int(port) < 65536
            target = lookup(MESH, candidate)
            assert target is None or candidate in known or host.strip("[]") in (MESH.pods.keys() | MESH.hosts.keys())


def test_a_long_name_is_refused_before_it_is_read() -> None:
    assert candidates("a" * 1_000_000, "shop", DOMAIN) == ()
    assert candidates("a." * 120, "shop", DOMAIN) == ()


def test_slices_of_manifests_without_pods_are_found_by_name() -> None:
    slices = Slice("shop", "s", "web", "IPv4", (SlicePort("", 8080),), (make_endpoint("127.0.0.1"),))
    target = resolve(build(make_snapshot(make_service(), slices)), "web", "shop")
    assert target is not None
    assert [e.host for e in target.endpoints] == ["127.0.0.1"]
