"""What is concluded from the Node of each kind of client."""

from __future__ import annotations

import pytest
from envoy.config.core.v3.base_pb2 import Locality, Node

from controlplane.discovery.view import read_view
from controlplane.translate.resource import ENVOY, GRPC, SIDECAR, View


@pytest.mark.parametrize(
    ("user_agent", "kind"),
    [
        ("envoy", ENVOY),
        ("gRPC C-core", GRPC),
        ("gRPC Go", GRPC),
        ("gossamer", SIDECAR),
        ("", GRPC),
        ("something new", GRPC),
    ],
)
def test_kind(user_agent: str, kind: str) -> None:
    assert read_view(Node(user_agent_name=user_agent)).kind == kind


def test_a_sidecar_says_where_it_is() -> None:
    node = Node(id="web-7f.shop", user_agent_name="gossamer", locality=Locality(zone="eu-1"))
    node.metadata.update({"NODE_NAME": "node-3"})
    assert read_view(node) == View(SIDECAR, "shop", "eu-1", "node-3")


def test_the_namespace_given_counts_before_the_id() -> None:
    node = Node(id="web.shop")
    node.metadata.update({"NAMESPACE": "other"})
    assert read_view(node).namespace == "other"


@pytest.mark.parametrize("node_id", ["", "web", "web.", "web.No_Label", "web." + "x" * 64])
def test_an_id_of_another_form_gives_no_namespace(node_id: str) -> None:
    assert read_view(Node(id=node_id)).namespace == ""


@pytest.mark.parametrize(
    ("value", "port"),
    [("15001", 15001), (15001, 15001), ("0", 4140), ("65536", 4140), ("-1", 4140), ("x", 4140), ("9" * 999, 4140)],
)
def test_an_envoy_says_where_it_listens(value: object, port: int) -> None:
    node = Node(user_agent_name="envoy")
    node.metadata.update({"OUTBOUND_PORT": value})
    assert read_view(node).outbound_port == port


def test_long_texts_are_cut() -> None:
    node = Node(locality=Locality(zone="z" * 10_000))
    node.metadata.update({"NODE_NAME": "n" * 10_000})
    view = read_view(node)
    assert (len(view.zone), len(view.node)) == (253, 253)
