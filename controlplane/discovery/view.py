"""Which view a client has, from the Node that it names itself by in its first request."""

from __future__ import annotations

import re

from envoy.config.core.v3.base_pb2 import Node

from controlplane.translate.resource import ENVOY, GRPC, SIDECAR, View

_NAME_CHARS_MAX = 253
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def read_view(node: Node) -> View:
    """A client that says nothing of itself is a plain xDS client without a place."""
    return View(
        kind=read_kind(node.user_agent_name),
        namespace=read_text(node, "NAMESPACE") or namespace_of(node.id),
        zone=node.locality.zone[:_NAME_CHARS_MAX],
        node=read_text(node, "NODE_NAME"),
        outbound_port=read_port(node) or View().outbound_port,
    )


def read_kind(user_agent: str) -> str:
    """Unknown clients are taken for gRPC, which is given the least that it would have to know."""
    name = user_agent.lower()
    return next((kind for kind in (ENVOY, SIDECAR) if name.startswith(kind)), GRPC)


def read_text(node: Node, field: str) -> str:
    """A text, or a whole number as text, of the node's metadata."""
    value = node.metadata.fields.get(field)
    if value is None:
        return ""
    if value.HasField("number_value"):
        return f"{value.number_value:.0f}"
    return str(value.string_value[:_NAME_CHARS_MAX])


def read_port(node: Node) -> int:
    """Where an Envoy is to listen, 0 where it says nothing of use."""
    text = read_text(node, "OUTBOUND_PORT")
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    return port if port < 65536 else 0


def namespace_of(node_id: str) -> str:
    """An id is `POD.NAMESPACE`; of anything else nothing is concluded."""
    _, dot, last = node_id.rpartition(".")
    return last if dot and _LABEL.fullmatch(last) else ""
