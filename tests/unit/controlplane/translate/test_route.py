from __future__ import annotations

from envoy.config.route.v3.route_pb2 import RouteConfiguration
from hypothesis import given
from hypothesis import strategies as st

from controlplane.graph.mesh import Mesh
from controlplane.translate.outbound import OutboundRoutes
from controlplane.translate.resource import RDS, pack
from controlplane.translate.route import outbound_host, route_configuration
from tests.unit.controlplane.translate.samples import domains, mesh, target

WEB_80 = "web.shop.svc.cluster.local:80"


def test_one_route_takes_everything_to_the_cluster() -> None:
    message = route_configuration(WEB_80)
    (host,) = message.virtual_hosts
    (route,) = host.routes
    assert (message.name, list(host.domains), route.route.cluster) == (WEB_80, ["*"], WEB_80)
    assert route.match.WhichOneof("path_specifier") == "prefix"
    assert route.match.prefix == ""


def test_no_timeout_and_only_what_was_not_processed_again() -> None:
    action = route_configuration(WEB_80).virtual_hosts[0].routes[0].route
    assert action.HasField("timeout")
    assert action.timeout.ToMilliseconds() == 0
    assert action.retry_policy.retry_on == "connect-failure,refused-stream"
    assert action.retry_policy.num_retries.value == 2


def test_all_targets_are_virtual_hosts_of_an_envoy_in_order() -> None:
    names = [f"{name}.shop.svc.cluster.local:80" for name in ("c", "a", "b")]
    body = OutboundRoutes(mesh(*map(target, names))).resource("shop").body
    message = RouteConfiguration.FromString(body)
    assert message.name == "outbound"
    assert [host.name for host in message.virtual_hosts] == sorted(names)
    assert [host.routes[0].route.cluster for host in message.virtual_hosts] == sorted(names)
    assert body == OutboundRoutes(mesh(*map(target, reversed(names)))).resource("shop").body


NAMES = [f"{name}.{namespace}.svc.cluster.local:80" for name in ("web", "api", "db") for namespace in ("x", "y")]
MESHES = st.lists(
    st.frozensets(st.sampled_from([*NAMES, "web.x.y.svc.cluster.local:81", "odd.svc.svc.cluster.local:80"])), max_size=5
)


def in_one_piece(item: Mesh, namespace: str) -> RouteConfiguration:
    message = RouteConfiguration(name="outbound")
    found = domains(item, namespace)
    for name in sorted(found):
        message.virtual_hosts.extend(outbound_host(name, found[name]).virtual_hosts)
    return message


@given(MESHES)
def test_made_of_parts_it_is_byte_for_byte_what_it_would_be_in_one_piece(meshes: list[frozenset[str]]) -> None:
    routes = None
    for names in meshes:
        item = mesh(*map(target, sorted(names)), addresses={f"10.0.0.{i}:80": name for i, name in enumerate(names)})
        routes = OutboundRoutes(item, routes)
        for namespace in ("", "x", "y", "unknown"):
            assert routes.resource(namespace) == pack(RDS, "outbound", in_one_piece(item, namespace))


def test_what_did_not_change_is_made_once() -> None:
    before = OutboundRoutes(mesh(*map(target, NAMES)))
    after = OutboundRoutes(mesh(*map(target, [*NAMES, "new.x.svc.cluster.local:80"])), before)
    assert [after._hosts[name] is before._hosts[name] for name in NAMES] == [True] * len(NAMES)
