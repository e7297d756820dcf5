"""Listeners: one `api_listener` per name that a gRPC client or a sidecar asks for, one real socket for an Envoy.

Envoy acknowledges an `api_listener` and serves nothing with it; a gRPC client refuses a socket. In both the router is
the last HTTP filter and has its `typed_config` (gRPC A39), and routes come over ADS.
"""

from __future__ import annotations

from envoy.config.core.v3.base_pb2 import TrafficDirection
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from controlplane.translate.cluster import ADS, packed

OUTBOUND = "outbound"  # the name of Envoy's listener, and of its routes
OUTBOUND_HOST = "127.0.0.1"


def api_listener(name: str, route: str) -> Listener:
    message = Listener(name=name)
    message.api_listener.api_listener.Pack(_http(route), deterministic=True)
    return message


def outbound_listener(port: int) -> Listener:
    """Where an Envoy takes the requests of its pod. A stream may be silent for ever, as a watch is."""
    manager = _http(OUTBOUND)
    manager.stream_idle_timeout.seconds = 0
    manager.generate_request_id.value = False
    manager.server_header_transformation = HttpConnectionManager.PASS_THROUGH
    manager.upgrade_configs.add(upgrade_type="websocket")
    message = Listener(name=OUTBOUND, traffic_direction=TrafficDirection.OUTBOUND)
    message.address.socket_address.address = OUTBOUND_HOST
    message.address.socket_address.port_value = port
    filters = message.filter_chains.add().filters
    filters.add(name="envoy.filters.network.http_connection_manager", typed_config=packed(manager))
    return message


def _http(route: str) -> HttpConnectionManager:
    manager = HttpConnectionManager()
    manager.CopyFrom(_TEMPLATE)
    manager.rds.route_config_name = route
    return manager


def _template() -> HttpConnectionManager:
    manager = HttpConnectionManager(stat_prefix=OUTBOUND)
    manager.http_filters.add(name="envoy.filters.http.router", typed_config=packed(Router()))
    manager.rds.config_source.CopyFrom(ADS)
    return manager


_TEMPLATE = _template()
