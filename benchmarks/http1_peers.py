"""The proxies of the HTTP/1.1 measurement, each with one worker and keep-alive on both sides, and their backends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from benchmarks.peers.peer import Place, program
from benchmarks.toolchain import envoy_binary

BODY = "hello from a backend"
FILTERS = "type.googleapis.com/envoy.extensions.filters."
COMMON = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
{rest}
}}
"""
PROXY = """\
    upstream servers {{
{servers}
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ proxy_pass http://servers; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""
HAPROXY = """\
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend in
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    balance roundrobin
    http-reuse always
{servers}
"""


def backend_command(place: Place) -> list[str]:
    servers = "".join(
        f"    server {{ listen 127.0.0.1:{port} backlog=1024; "
        f'location / {{ default_type text/plain; return 200 "{BODY}\\n"; }} }}\n'
        for port in place.backends
    )
    text = COMMON.format(folder=place.folder, rest=servers)
    return [program("nginx", "nginx"), "-p", str(place.folder), "-c", place.write("backends.conf", text)]


def nginx_command(place: Place) -> list[str]:
    servers = "\n".join(f"        server 127.0.0.1:{port};" for port in place.backends)
    text = COMMON.format(folder=place.folder, rest=PROXY.format(servers=servers, port=place.port))
    return [program("nginx", "nginx"), "-p", str(place.folder), "-c", place.write("nginx.conf", text)]


def haproxy_command(place: Place) -> list[str]:
    servers = "\n".join(f"    server s{port} 127.0.0.1:{port}" for port in place.backends)
    path = place.write("haproxy.cfg", HAPROXY.format(port=place.port, servers=servers))
    return [program("haproxy", "haproxy"), "-db", "-f", path]


def envoy_command(place: Place) -> list[str]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "servers", "timeout": "0s"}}
    manager = {
        "@type": FILTERS + "network.http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "HTTP1",
        "stat_prefix": "http",
        "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": FILTERS + "http.router.v3.Router"},
            }
        ],
    }
    endpoints = [{"endpoint": {"address": address(port)}} for port in place.backends]
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    bootstrap = {
        "static_resources": {
            "listeners": [{"name": "in", "address": address(place.port), "filter_chains": [chain]}],
            "clusters": [
                {
                    "name": "servers",
                    "type": "STATIC",
                    "lb_policy": "ROUND_ROBIN",
                    "load_assignment": {"cluster_name": "servers", "endpoints": [{"lb_endpoints": endpoints}]},
                }
            ],
        }
    }
    path = place.write("envoy.json", json.dumps(bootstrap))
    return [str(envoy_binary()), "-c", path, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]


def address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def gossamer_command(place: Place) -> list[str]:
    targets = ",".join(f"127.0.0.1:{port}" for port in place.backends)
    listen = f"127.0.0.1:{place.port}"
    return [sys.executable, "-m", "tests.e2e.http1_proxy", "--listen", listen, "--to", targets]


PEERS: dict[str, Callable[[Place], list[str]]] = {
    "gossamer": gossamer_command,
    "nginx": nginx_command,
    "envoy": envoy_command,
    "haproxy": haproxy_command,
}
