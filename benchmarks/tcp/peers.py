"""The peers as plain TCP proxies in front of one backend: one worker thread each, no log, defaults otherwise."""

from __future__ import annotations

import json
import sys

from benchmarks.peers import envoy, haproxy
from benchmarks.peers.peer import Peer, Place
from benchmarks.toolchain import ENVOY_VERSION, envoy_binary

HAPROXY_CONFIG = """\
global
    nbthread 1
    maxconn 8192
defaults
    mode tcp
    timeout connect 5s
    timeout client 300s
    timeout server 300s
listen tcp
    bind 127.0.0.1:{port}
    balance roundrobin
{servers}
"""


def command_gossamer(place: Place) -> list[str]:
    to = ",".join(f"127.0.0.1:{port}" for port in place.backends)
    listen = f"127.0.0.1:{place.port}"
    return [sys.executable, "-m", "benchmarks.tcp.sidecar", "--listen", listen, "--to", to, "--opaque"]


def command_envoy(place: Place) -> list[str]:
    path = place.write("envoy.json", json.dumps(make_bootstrap(place), indent=1))
    return [str(envoy_binary()), "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def make_bootstrap(place: Place) -> dict[str, object]:
    proxy = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "tcp",
        "cluster": "servers",
    }
    listener = {
        "name": "tcp",
        "address": make_address(place.port),
        "filter_chains": [{"filters": [{"name": "tcp", "typed_config": proxy}]}],
    }
    endpoints = [{"endpoint": {"address": make_address(port)}} for port in place.backends]
    cluster = {
        "name": "servers",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": "servers", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def make_address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def command_haproxy(place: Place) -> list[str]:
    servers = "\n".join(f"    server s{port} 127.0.0.1:{port}" for port in place.backends)
    path = place.write("haproxy.cfg", HAPROXY_CONFIG.format(port=place.port, servers=servers))
    return [haproxy.binary(), "-db", "-f", path]


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("gossamer", "Gossamer", lambda: None, lambda: "this checkout", command_gossamer),
        Peer("envoy", "Envoy tcp_proxy", envoy.prepare, lambda: ENVOY_VERSION, command_envoy),
        Peer("haproxy", "HAProxy mode tcp", haproxy.prepare, haproxy.version, command_haproxy),
    )
}
"""Name -> peer, in the order of the report."""
