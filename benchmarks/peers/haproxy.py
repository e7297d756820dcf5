"""HAProxy: one thread, HTTP/2 on both sides, upstream connections shared by all clients."""

from __future__ import annotations

from benchmarks.peers.peer import Peer, Place, first_output, program

CONFIG = """\
global
    nbthread 1
    maxconn 4096
defaults
    mode http
    timeout connect 5s
    timeout client 300s
    timeout server 300s
    http-reuse always
frontend grpc
    bind 127.0.0.1:{port} proto h2
    default_backend servers
backend servers
    balance roundrobin
{servers}
"""


def command(place: Place) -> list[str]:
    servers = "\n".join(f"    server s{port} 127.0.0.1:{port} proto h2" for port in place.backends)
    path = place.write("haproxy.cfg", CONFIG.format(port=place.port, servers=servers))
    return [binary(), "-db", "-f", path]


def binary() -> str:
    return program("haproxy", "haproxy")


def version() -> str:
    return first_output([binary(), "-v"]).removeprefix("HAProxy version ").split()[0]


def prepare() -> None:
    binary()


PEER = Peer("haproxy", "HAProxy", prepare, version, command)
