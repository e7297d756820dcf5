"""nginx: one worker, grpc_pass or proxy_pass, without a limit of requests per connection. It cannot multiplex requests
upstream, so it gets enough kept-alive connections. For HTTP/1 it is the backends, too.
"""

from __future__ import annotations

from benchmarks.peers.peer import GRPC, HTTP1, Peer, Place, first_output, program

CONFIG = """\
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
    http2_max_concurrent_streams 256;
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
        listen 127.0.0.1:{port}{http2} backlog=1024;
        location / {{ {to_servers} }}
    }}"""
PASS = {
    GRPC: "grpc_pass grpc://servers;",
    HTTP1: 'proxy_pass http://servers; proxy_http_version 1.1; proxy_set_header Connection "";',
}
SERVER = """\
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ default_type text/plain; return 200 "hello from a backend\\n"; }}
        location = /status {{ stub_status; }}
    }}"""


def command(place: Place) -> list[str]:
    servers = "\n".join(f"        server 127.0.0.1:{port};" for port in place.backends)
    http2 = " http2" if place.protocol == GRPC else ""
    return _run(place, PROXY.format(servers=servers, port=place.port, http2=http2, to_servers=PASS[place.protocol]))


def backend_command(place: Place) -> list[str]:
    """Serves HTTP/1.1 at the place's port: some text, and at /status how much of it."""
    return _run(place, SERVER.format(port=place.port))


def _run(place: Place, rest: str) -> list[str]:
    text = CONFIG.format(folder=place.folder, rest=rest)
    return [binary(), "-p", str(place.folder), "-c", place.write("nginx.conf", text)]


def binary() -> str:
    return program("nginx", "nginx")


def version() -> str:
    return first_output([binary(), "-v"]).split("/")[-1]


def prepare() -> None:
    binary()


PEER = Peer("nginx", "nginx", (GRPC, HTTP1), prepare, version, command)
