from __future__ import annotations

from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from controlplane.translate.listener import api_listener, outbound_listener


def manager_of(listener: Listener) -> HttpConnectionManager:
    manager = HttpConnectionManager()
    if listener.HasField("api_listener"):
        packed = listener.api_listener.api_listener
    else:
        packed = listener.filter_chains[0].filters[-1].typed_config
    assert packed.Unpack(manager)
    return manager


def test_a_listener_by_name_has_no_socket() -> None:
    listener = api_listener("web:80", "web.shop.svc.cluster.local:80")
    assert listener.name == "web:80"
    assert not listener.HasField("address")
    assert manager_of(listener).rds.route_config_name == "web.shop.svc.cluster.local:80"


def test_the_router_is_the_last_filter_with_its_configuration() -> None:
    for listener in (api_listener("web", "web:80"), outbound_listener(4140)):
        manager = manager_of(listener)
        assert manager.rds.config_source.HasField("ads")
        assert manager.http_filters[-1].typed_config.Is(Router.DESCRIPTOR)


def test_a_stream_of_an_envoy_may_be_silent() -> None:
    manager = manager_of(outbound_listener(4140))
    assert manager.HasField("stream_idle_timeout")
    assert manager.stream_idle_timeout.ToMilliseconds() == 0
