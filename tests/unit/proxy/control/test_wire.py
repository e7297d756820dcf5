from __future__ import annotations

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from hypothesis import given
from hypothesis import strategies as st

from mesh.version import VERSION
from proxy.control.messages import CLUSTER, Node, Request, Resource
from proxy.control.wire import MAX_FIELDS, decode_response, encode_request, encode_response, has_more_fields
from proxy.route.message import XdsError

NODE = Node("pod.ns", "ns", "zone-a", "node-1")


def parse(data: bytes) -> DeltaDiscoveryRequest:
    return DeltaDiscoveryRequest.FromString(data)


def test_a_subscription() -> None:
    message = parse(encode_request(Request(CLUSTER, ("a", "b"), ("c",), {"a": "1"}), NODE))
    assert message.type_url == CLUSTER
    assert list(message.resource_names_subscribe) == ["a", "b"]
    assert list(message.resource_names_unsubscribe) == ["c"]
    assert dict(message.initial_resource_versions) == {"a": "1"}
    assert message.node.id == "pod.ns"
    assert message.node.locality.zone == "zone-a"
    assert dict(message.node.metadata) == {"NAMESPACE": "ns", "NODE_NAME": "node-1"}
    assert (message.node.user_agent_name, message.node.user_agent_version) == ("gossamer", VERSION)


def test_the_node_is_named_once() -> None:
    assert not parse(encode_request(Request(CLUSTER, ("a",)), None)).HasField("node")


def test_an_acknowledgement_and_a_refusal() -> None:
    accepted = parse(encode_request(Request(CLUSTER, nonce="7"), None))
    assert accepted.response_nonce == "7"
    assert not accepted.HasField("error_detail")
    refused = parse(encode_request(Request(CLUSTER, nonce="8", error="no good"), None))
    assert (refused.error_detail.code, refused.error_detail.message) == (3, "no good")


def test_a_response() -> None:
    message = DeltaDiscoveryResponse(type_url=CLUSTER, nonce="n", removed_resources=["gone"])
    message.resources.add(name="a", version="1").resource.type_url = CLUSTER
    message.resources[0].resource.value = b"body"
    response = decode_response(message.SerializeToString())
    assert (response.type_url, response.nonce, response.removed) == (CLUSTER, "n", ("gone",))
    assert response.resources == (Resource("a", "1", CLUSTER, b"body"),)
    assert decode_response(encode_response(CLUSTER, response.resources)).resources == response.resources


def test_what_is_no_response() -> None:
    with pytest.raises(XdsError, match="no DeltaDiscoveryResponse"):
        decode_response(b"\xff\xff\xff")


def test_more_resources_than_anybody_asks_for_are_refused_before_they_are_made() -> None:
    most = b"\x12\x00" * MAX_FIELDS
    assert len(decode_response(most).resources) == MAX_FIELDS
    with pytest.raises(XdsError, match="more than"):
        decode_response(most + b"\x12\x00")


@pytest.mark.parametrize("kind", [b"\x08\x80\x01", b"\x09" + b"x" * 8, b"\x0d" + b"x" * 4, b"\x12\x02ab"])
def test_fields_of_every_kind_are_counted(kind: bytes) -> None:
    assert not has_more_fields(kind * 5, 5)
    assert has_more_fields(kind * 6, 5)


@given(st.binary(max_size=200))
def test_the_count_ends_on_any_bytes(data: bytes) -> None:
    has_more_fields(data, 1_000)
