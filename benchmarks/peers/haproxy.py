"""HAProxy: one thread, the same protocol on both sides, HTTP upstream connections shared by all clients."""

from __future__ import annotations

from benchmarks.peers.peer import GRPC, HTTP1, TCP, Peer, Place, first_output, program

CONFIG = """\
global
    nbthread 1
    maxconn 8192
defaults
    mode {mode}
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend in
    bind 127.0.0.1:{port}{proto}
    default_backend servers
backend servers
    balance roundrobin
{servers}
"""
REUSE = "    http-reuse always"


def command(place: Place) -> list[str]:
    proto = " proto h2" if place.protocol == GRPC else ""
    servers = [f"    server s{port} 127.0.0.1:{port}{proto}" for port in place.backends]
    text = CONFIG.format(
        mode="tcp" if place.protocol == TCP else "http",
        port=place.port,
        proto=proto,
        servers="\n".join(servers if place.protocol == TCP else [REUSE, *servers]),
    )
    return [binary(), "-db", "-f", place.write("haproxy.cfg", text)]


def binary() -> str:
    return program("haproxy", "haproxy")


def version() -> str:
    return first_output([binary(), "-v"]).removeprefix("HAProxy version ").split()[0]


def prepare() -> None:
    binary()


PEER = Peer("haproxy", "HAProxy", (GRPC, HTTP1, TCP), prepare, version, command)
