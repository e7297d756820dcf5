"""Bytes of the discovery messages, by the classes of xds-protos, which `proxy.route.from_xds` needs anyway.

These add 0.06 MB to what it loads (RssAnon), so a codec of our own would save nothing. Importing this module loads
protobuf: import it only where there is a control plane.
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.message import DecodeError

from mesh.contract import SIDECAR_AGENT
from mesh.version import VERSION
from proxy.control.messages import Node, Request, Resource, Response
from proxy.route.message import XdsError

MAX_FIELDS = 10_000
_INVALID_ARGUMENT = 3
_VARINT, _LENGTH_DELIMITED = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}


def encode_request(request: Request, node: Node | None) -> bytes:
    """`node` goes with the first request of a stream only."""
    message = DeltaDiscoveryRequest(
        type_url=request.type_url,
        resource_names_subscribe=request.subscribe,
        resource_names_unsubscribe=request.unsubscribe,
        initial_resource_versions=request.versions,
        response_nonce=request.nonce,
    )
    if request.error:
        message.error_detail.code = _INVALID_ARGUMENT
        message.error_detail.message = request.error
    if node is not None:
        message.node.id = node.id
        message.node.user_agent_name = SIDECAR_AGENT
        message.node.user_agent_version = VERSION
        message.node.metadata.update({"NAMESPACE": node.namespace, "NODE_NAME": node.node_name})
        message.node.locality.zone = node.zone
    return bytes(message.SerializeToString())


def decode_response(data: bytes) -> Response:
    """XdsError where the bytes are no DeltaDiscoveryResponse."""
    message = DeltaDiscoveryResponse()
    if has_more_fields(data, MAX_FIELDS):
        raise XdsError(f"more than {MAX_FIELDS} resources at a time")
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise XdsError(f"no DeltaDiscoveryResponse: {error}") from None
    resources = [
        Resource(resource.name, resource.version, resource.resource.type_url, resource.resource.value)
        for resource in message.resources
    ]
    return Response(message.type_url, message.nonce, tuple(resources), tuple(message.removed_resources))


def has_more_fields(data: bytes, most: int) -> bool:
    """Whether a message has more fields than that, before they are made into objects fifty times their size.

    Stops at whatever is malformed, for the parser to refuse (protobuf's "Encoding": a varint of number and wire type).
    """
    at = 0
    for _ in range(most):
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            size, at = read_varint(data, at)
            at += size
        elif kind == _VARINT:
            _, at = read_varint(data, at)
        else:
            at += _FIXED_BYTES.get(kind, len(data))
        if at >= len(data):
            return False
    return True


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next one begins; past the end where it is malformed."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return 0, len(data)


def encode_response(type_url: str, resources: Iterable[Resource]) -> bytes:
    """The form in which resources are kept on disk."""
    message = DeltaDiscoveryResponse(type_url=type_url)
    for resource in resources:
        kept = message.resources.add(name=resource.name, version=resource.version)
        kept.resource.type_url = resource.type_url
        kept.resource.value = resource.body
    return bytes(message.SerializeToString())
