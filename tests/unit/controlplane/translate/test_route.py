from __future__ import annotations

from controlplane.translate.route import outbound_routes, route_configuration
from tests.unit.controlplane.translate.samples import mesh, target

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
    message = outbound_routes(mesh(*map(target, names)), "shop")
    assert [host.name for host in message.virtual_hosts] == sorted(names)
    assert [host.routes[0].route.cluster for host in message.virtual_hosts] == sorted(names)
    assert message == outbound_routes(mesh(*map(target, reversed(names))), "shop")
