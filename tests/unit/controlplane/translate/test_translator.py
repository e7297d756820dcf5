from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.graph.mesh import Endpoint, Mesh
from controlplane.translate.resource import CDS, EDS, ENVOY, GRPC, LDS, RDS, SIDECAR, TYPE_PREFIX, Resource, View
from controlplane.translate.translator import EVERYTHING, MAX_PER_HOST, Translator
from tests.golden.walk import as_dict, route_name
from tests.unit.controlplane.translate.samples import WEB, endpoint, mesh, target, without_endpoints

WEB_80 = "web.shop.svc.cluster.local:80"
API_80 = "api.shop.svc.cluster.local:80"
IN_SHOP = View(SIDECAR, "shop")
ENVOY_IN_SHOP = View(ENVOY, "shop")
MESH = mesh(
    target(WEB_80, endpoint("10.0.0.1", "a", ("a",), "n1"), endpoint("10.0.0.2", "b", ("b",), "n2")),
    target(API_80, endpoint("10.0.0.3")),
    addresses={"10.96.0.1:80": WEB_80},
    pods={"10.0.0.1": Endpoint("10.0.0.1", 0, "web-1", workload=WEB)},
)


def translator(item: Mesh = MESH, **limits: int) -> Translator:
    made = Translator(**limits)
    made.update(item, [*item.targets, *item.addresses, *item.pods])
    return made


def got(catalog: Translator, type_url: str, name: str, view: View = IN_SHOP) -> Resource:
    resource = catalog.get(type_url, name, view)
    assert resource is not None
    assert (resource.type_url, resource.name) == (type_url, name)
    return resource


@pytest.mark.parametrize("name", ["web", "web:80", "web.shop", "web.shop.svc:80", WEB_80, "10.96.0.1:80"])
def test_every_name_leads_to_the_routes_of_its_target(name: str) -> None:
    assert route_name(got(translator(), LDS, name)) == WEB_80


def test_a_pod_by_its_address() -> None:
    catalog = translator()
    name = route_name(got(catalog, LDS, "10.0.0.1:9999"))
    (locality,) = as_dict(got(catalog, EDS, name))["endpoints"]
    address = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert address == {"address": "10.0.0.1", "port_value": 9999}


@pytest.mark.parametrize(
    ("type_url", "name"),
    [
        (LDS, "unknown"),
        (LDS, "web.other"),
        (LDS, "not a name"),
        (RDS, "web"),
        (CDS, "web:80"),
        (EDS, "10.96.0.1:80"),
        (TYPE_PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret", WEB_80),
    ],
)
def test_what_does_not_exist(type_url: str, name: str) -> None:
    assert translator().get(type_url, name, IN_SHOP) is None


def test_an_external_name_has_no_endpoints_to_give() -> None:
    catalog = translator(mesh(replace(target(WEB_80), external=("db.example.com", 443))))
    assert catalog.get(EDS, WEB_80, IN_SHOP) is None
    assert as_dict(got(catalog, CDS, WEB_80))["type"] == "LOGICAL_DNS"


def test_clients_to_whom_it_makes_no_difference_share_one_resource() -> None:
    catalog = translator()
    views = [
        View(kind, namespace, "a", node) for kind in (GRPC, SIDECAR) for namespace in "xy" for node in ("n1", "n2")
    ]
    for type_url in (RDS, CDS, EDS):
        assert len({id(catalog.get(type_url, WEB_80, view)) for view in views}) == 1
    assert got(catalog, EDS, WEB_80, View(zone="a")) != got(catalog, EDS, WEB_80, View(zone="b"))


def test_what_did_not_change_is_not_translated_again() -> None:
    catalog = translator()
    before = {name: got(catalog, EDS, name) for name in MESH.targets}
    changed = target(API_80, endpoint("10.0.0.9"))
    catalog.update(replace(MESH, targets={**MESH.targets, API_80: changed}), [API_80])
    assert got(catalog, EDS, WEB_80) is before[WEB_80]
    assert got(catalog, EDS, API_80).version != before[API_80].version


def test_an_answer_is_never_older_than_the_mesh() -> None:
    """Even if a change is not announced."""
    catalog = translator()
    before = got(catalog, EDS, API_80)
    catalog.update(replace(MESH, targets={API_80: target(API_80)}), [])
    assert got(catalog, EDS, API_80) != before
    assert catalog.get(EDS, WEB_80, IN_SHOP) is None


def test_a_target_that_comes_back_has_its_version_again() -> None:
    catalog = translator()
    before = got(catalog, EDS, WEB_80)
    catalog.update(Mesh(), [WEB_80])
    assert catalog.get(EDS, WEB_80, IN_SHOP) is None
    catalog.update(MESH, [WEB_80])
    assert got(catalog, EDS, WEB_80) == before


def test_a_service_without_endpoints_still_exists() -> None:
    targets = {name: without_endpoints(item) for name, item in MESH.targets.items()}
    assert as_dict(got(translator(replace(MESH, targets=targets)), EDS, WEB_80)) == {"cluster_name": WEB_80}


def test_keys_name_all_that_could_bring_a_listener_to_life() -> None:
    keys = translator(Mesh()).keys(LDS, "web.shop", IN_SHOP)
    assert {WEB_80, "web.shop.shop.svc.cluster.local:80", "web.shop.shop.svc.cluster.local"} <= set(keys)


@pytest.mark.parametrize("type_url", [RDS, CDS, EDS])
def test_keys_of_a_canonical_name(type_url: str) -> None:
    assert translator().keys(type_url, WEB_80, IN_SHOP) == (WEB_80, "web.shop.svc.cluster.local")


def test_keys_of_what_could_never_be_ours() -> None:
    assert translator().keys(LDS, "www.a.b.example.com", IN_SHOP) == ()


def test_wildcards_hold_no_api_listeners() -> None:
    catalog = translator()
    assert catalog.wildcard(LDS, ENVOY_IN_SHOP) == {"outbound"}
    assert catalog.wildcard(LDS, IN_SHOP) == catalog.wildcard(EDS, ENVOY_IN_SHOP) == frozenset()
    assert catalog.wildcard(CDS, ENVOY_IN_SHOP) == {WEB_80, API_80}
    assert catalog.get(LDS, "web", ENVOY_IN_SHOP) is None


def test_an_envoy_listens_where_it_says() -> None:
    catalog = translator()
    address = {"address": "127.0.0.1", "port_value": 4140}
    assert as_dict(got(catalog, LDS, "outbound", ENVOY_IN_SHOP))["address"] == {"socket_address": address}
    other = as_dict(got(catalog, LDS, "outbound", ENVOY_IN_SHOP._replace(outbound_port=15001)))
    assert other["address"]["socket_address"]["port_value"] == 15001


def test_a_service_may_be_called_outbound() -> None:
    catalog = translator(mesh(target("outbound.shop.svc.cluster.local:80")))
    assert route_name(got(catalog, LDS, "outbound")) == "outbound.shop.svc.cluster.local:80"


def test_envoys_routes_are_announced_when_names_change_and_only_then() -> None:
    catalog = translator()
    assert catalog.keys(RDS, "outbound", ENVOY_IN_SHOP) == (EVERYTHING,)
    before = got(catalog, RDS, "outbound", ENVOY_IN_SHOP)
    fewer = replace(MESH, targets={**MESH.targets, API_80: target(API_80)})
    assert catalog.update(fewer, [API_80]) == {API_80}
    assert got(catalog, RDS, "outbound", ENVOY_IN_SHOP) is before
    gone = replace(MESH, targets={WEB_80: MESH.targets[WEB_80]})
    assert catalog.update(gone, [API_80]) == {API_80, EVERYTHING}
    assert got(catalog, RDS, "outbound", ENVOY_IN_SHOP) != before
    taken = replace(gone, hosts={"web.shop.svc.svc.cluster.local": target("web.shop.svc.svc.cluster.local:0")})
    assert EVERYTHING in catalog.update(taken, ["web.shop.svc.svc.cluster.local"])
    moved = replace(gone, addresses={"10.96.0.2:80": WEB_80})
    assert EVERYTHING in catalog.update(moved, ["10.96.0.1:80", "10.96.0.2:80"])
    assert "10.96.0.2:80" in str(as_dict(got(catalog, RDS, "outbound", ENVOY_IN_SHOP)))


def test_what_clients_make_up_is_not_kept_for_ever() -> None:
    catalog = translator(max_hosts=2)
    for port in range(1, 3 * MAX_PER_HOST):
        got(catalog, EDS, f"10.0.0.1:{port}")
    assert catalog.kept["resources"] <= MAX_PER_HOST
    for number in range(3 * MAX_PER_HOST):
        spelling = "".join(letter.upper() if number >> index & 1 else letter for index, letter in enumerate(WEB_80))
        got(catalog, LDS, spelling)
        got(catalog, LDS, "outbound", ENVOY_IN_SHOP._replace(outbound_port=number))
    got(catalog, EDS, API_80)
    kept = catalog.kept
    assert kept["hosts"] == 2
    assert kept["resources"] <= 3 * MAX_PER_HOST


def test_what_is_gone_is_not_kept() -> None:
    catalog = translator()
    for name in (WEB_80, API_80, "10.0.0.1:9999"):
        got(catalog, CDS, name)
    catalog.update(Mesh(), [WEB_80, API_80, "10.0.0.1"])
    assert catalog.kept == {"hosts": 0, "resources": 0}


def test_namespaces_that_clients_make_up_share_the_routes_of_none() -> None:
    catalog = translator()
    made = {id(catalog.get(RDS, "outbound", View(ENVOY, f"made-up-{number}"))) for number in range(100)}
    assert len(made) == 1
    assert catalog.get(RDS, "outbound", View(ENVOY)) == catalog.get(RDS, "outbound", View(ENVOY, "made-up-1"))
    assert catalog.kept["resources"] == 1
    assert catalog.get(RDS, "outbound", ENVOY_IN_SHOP) != catalog.get(RDS, "outbound", View(ENVOY))


def test_a_namespace_counts_as_soon_as_there_is_a_service_in_it() -> None:
    catalog = translator(Mesh())
    assert "web:80" not in str(as_dict(got(catalog, RDS, "outbound", ENVOY_IN_SHOP)))
    catalog.update(MESH, [WEB_80, API_80])
    assert "web:80" in str(as_dict(got(catalog, RDS, "outbound", ENVOY_IN_SHOP)))
