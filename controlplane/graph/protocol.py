"""Which protocol a port speaks, from its `appProtocol`, or else from the prefix of its name.

The words are Kubernetes' own (kubernetes.io/h2c, /ws, /wss), IANA's, and those that other meshes made a habit. A word
that is not known means DETECT: a wrong guess breaks an application, detection does not.
"""

from __future__ import annotations

from controlplane.graph.mesh import DETECT, GRPC, HTTP1, HTTP2, TCP, TLS

WORDS = {
    "grpc": GRPC,
    "h2c": HTTP2,
    "http2": HTTP2,
    "kubernetes.io/h2c": HTTP2,
    "http": HTTP1,
    "http1": HTTP1,
    "http/1.1": HTTP1,
    "grpc-web": HTTP1,
    "ws": HTTP1,
    "kubernetes.io/ws": HTTP1,
    "https": TLS,
    "tls": TLS,
    "wss": TLS,
    "kubernetes.io/wss": TLS,
    "tcp": TCP,
    "mongo": TCP,
    "mysql": TCP,
    "postgres": TCP,
    "postgresql": TCP,
    "redis": TCP,
}
MAX_PORT = 65_535
_ONES = b"\1" * (MAX_PORT + 1)


def protocol(app_protocol: str, port_name: str) -> str:
    """What `appProtocol` says; where there is none, what the name says: `grpc`, `grpc-api`, `http2-web`."""
    if app_protocol:
        return WORDS.get(app_protocol.lower(), DETECT)
    name = port_name.lower()
    if name == "grpc-web" or name.startswith("grpc-web-"):
        return WORDS["grpc-web"]
    return WORDS.get(name.partition("-")[0], DETECT)


def opaque_ports(ports: str) -> bytes:
    """A list as in annotations, `25,3306,8000-8010`, as a table: 1 at each port that it names.

    What is no number is passed over. A table, since the list may be long, and is asked for each port of a Service.
    """
    table = bytearray(MAX_PORT + 1)
    for part in ports.split(","):
        first, _, last = part.strip().partition("-")
        last = last or first
        if first.isdecimal() and last.isdecimal() and len(first) < 6 > len(last):
            start, end = int(first), min(int(last), MAX_PORT) + 1
            if start < end:
                table[start:end] = _ONES[: end - start]
    return bytes(table)
