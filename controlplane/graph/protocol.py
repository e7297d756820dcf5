"""Which protocol a port speaks, from its `appProtocol`, or else from the prefix of its name.

The words are Kubernetes' own (kubernetes.io/h2c, /ws, /wss), IANA's, and those that other meshes made a habit. A word
that is not known means DETECT: a wrong guess breaks an application, detection does not.
"""

from __future__ import annotations

from functools import lru_cache

from controlplane.graph.mesh import DETECT, GRPC, HTTP1, HTTP2, NOT_OPAQUE, TCP, TLS
from mesh.ports import Ports, read_ports

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
    "linkerd.io/opaque": TCP,
    "linkerd.io/tcp": TCP,
    "mongo": TCP,
    "mysql": TCP,
    "postgres": TCP,
    "postgresql": TCP,
    "redis": TCP,
    "smtp": TCP,
}


def protocol(app_protocol: str, port_name: str) -> str:
    """What `appProtocol` says; where there is none, what the name says: `grpc`, `grpc-api`, `http2-web`."""
    if app_protocol:
        return WORDS.get(app_protocol.lower(), DETECT)
    name = port_name.lower()
    if name == "grpc-web" or name.startswith("grpc-web-"):
        return WORDS["grpc-web"]
    return WORDS.get(name.partition("-")[0], DETECT)


read_list = lru_cache(64)(read_ports)  # a workload's pods share one


def declared(said: str, port: int, opaque: Ports | None) -> str:
    """What is spoken at a port of which `said` is said, where an annotation lists the opaque ones; None: there is none.

    An annotation that leaves a port out says something too: it takes the place of the ports that are opaque by default.
    """
    if opaque is None:
        return said
    return TCP if port in opaque else said or NOT_OPAQUE
