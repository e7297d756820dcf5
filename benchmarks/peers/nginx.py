"""nginx: one worker, grpc_pass. It cannot multiplex requests upstream, so it gets enough kept-alive connections, and
no limit of requests per connection."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Place, first_output, program

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
    upstream servers {{
{servers}
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} http2 backlog=1024;
        location / {{ grpc_pass grpc://servers; }}
    }}
}}
"""


def command(place: Place) -> list[str]:
    servers = "\n".join(f"        server 127.0.0.1:{port};" for port in place.backends)
    text = CONFIG.format(folder=place.folder, servers=servers, port=place.port)
    return [binary(), "-p", str(place.folder), "-c", place.write("nginx.conf", text)]


def binary() -> str:
    return program("nginx", "nginx")


def version() -> str:
    return first_output([binary(), "-v"]).split("/")[-1]


def prepare() -> None:
    binary()


PEER = Peer("nginx", "nginx grpc_pass", prepare, version, command)
