"""An xDS resource as it travels, and for whom it was made."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from mesh.contract import ENVOY_AGENT, OUTBOUND_PORT, SIDECAR_AGENT

if TYPE_CHECKING:
    from google.protobuf.message import Message

TYPE_PREFIX = "type.googleapis.com/"
LDS = TYPE_PREFIX + "envoy.config.listener.v3.Listener"
RDS = TYPE_PREFIX + "envoy.config.route.v3.RouteConfiguration"
CDS = TYPE_PREFIX + "envoy.config.cluster.v3.Cluster"
EDS = TYPE_PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
# In the order of an update: make before break (DESIGN 4).
TYPES = (CDS, EDS, LDS, RDS)


class View(NamedTuple):
    """The small class that changes an answer. Two clients of one view get the same bytes.

    `kind` is ENVOY, GRPC or SIDECAR, by Node.user_agent_name; `namespace` completes short names; `zone` and `node` are
    where the client runs, empty where it does not say. `outbound_port` is where an Envoy listens.
    """

    kind: str = ""
    namespace: str = ""
    zone: str = ""
    node: str = ""
    outbound_port: int = OUTBOUND_PORT


ENVOY, GRPC, SIDECAR = ENVOY_AGENT, "grpc", SIDECAR_AGENT


@dataclass(frozen=True, slots=True)
class Resource:
    """`body` is the serialised message (deterministic), `version` the first 16 hex digits of its SHA-256."""

    type_url: str
    name: str
    version: str
    body: bytes


def pack(type_url: str, name: str, message: Message) -> Resource:
    """The message as a resource. Protobuf maps have no order of their own: without `deterministic`, replicas differ."""
    body = message.SerializeToString(deterministic=True)
    return Resource(type_url, name, sha256(body).hexdigest()[:16], body)
