"""Envoy: one worker, the same protocol on both sides, no access log, no tracing, no request id, no retries."""

from __future__ import annotations

import json

from benchmarks.peers.peer import GRPC, HTTP1, TCP, Peer, Place
from benchmarks.toolchain import ENVOY_VERSION, envoy_binary

CODECS = {GRPC: "HTTP2", HTTP1: "HTTP1"}


def command(place: Place) -> list[str]:
    path = place.write("envoy.json", json.dumps(make_bootstrap(place), indent=1))
    return [str(envoy_binary()), "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def make_bootstrap(place: Place) -> dict[str, object]:
    return {
        "admin": {"address": _address(place.admin_port)},
        "static_resources": {"listeners": [_listener(place)], "clusters": [_cluster(place)]},
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(place: Place) -> dict[str, object]:
    terminal = _tcp_proxy() if place.protocol == TCP else _http_manager(CODECS[place.protocol])
    chain = {"filters": [{"name": "proxy", "typed_config": terminal}]}
    return {"name": "in", "address": _address(place.port), "filter_chains": [chain]}


def _tcp_proxy() -> dict[str, object]:
    return {"@type": _extension("network.tcp_proxy.v3.TcpProxy"), "stat_prefix": "in", "cluster": "servers"}


def _http_manager(codec: str) -> dict[str, object]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "servers", "timeout": "0s"}}
    return {
        "@type": _extension("network.http_connection_manager.v3.HttpConnectionManager"),
        "codec_type": codec,
        "stat_prefix": "in",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": _extension("http.router.v3.Router")}},
        ],
    }


def _cluster(place: Place) -> dict[str, object]:
    endpoints = [{"endpoint": {"address": _address(port)}} for port in place.backends]
    cluster: dict[str, object] = {
        "name": "servers",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": "servers", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    if place.protocol == GRPC:
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


def _extension(name: str) -> str:
    return f"type.googleapis.com/envoy.extensions.filters.{name}"


def prepare() -> None:
    envoy_binary()


PEER = Peer("envoy", "Envoy", (GRPC, HTTP1, TCP), prepare, lambda: ENVOY_VERSION, command)
