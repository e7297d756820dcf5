"""Responses framed by hand, against the generated classes; and that they are shared."""

from __future__ import annotations

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse

from controlplane.discovery.wire import Responses, encode_varint, hash_versions
from controlplane.translate.resource import CDS, EDS
from tests.unit.controlplane.discovery.table import DeltaClient, Exchange, SotwClient, Table, make_resource


@pytest.mark.parametrize("size", [0, 1, 100, 20_000, 3_000_000])
def test_a_delta_response_reads_back(size: int) -> None:
    resources = [make_resource(CDS, "a", "1", size), make_resource(CDS, "é", "2")]
    nonce, data = Responses().delta(CDS, resources, ["gone", "too"], 0)
    response = DeltaDiscoveryResponse.FromString(data)
    assert response.type_url == CDS
    assert response.nonce == f"{nonce:x}"
    assert list(response.removed_resources) == ["gone", "too"]
    assert response.system_version_info == hash_versions(resources)
    for item, resource in zip(response.resources, resources, strict=True):
        assert (item.name, item.version) == (resource.name, resource.version)
        assert (item.resource.type_url, item.resource.value) == (CDS, resource.body)
        assert item.resource.Is(Cluster.DESCRIPTOR)


def test_a_sotw_response_reads_back() -> None:
    resources = [make_resource(CDS, "a", "1"), make_resource(CDS, "b", "2")]
    nonce, data = Responses().sotw(CDS, resources, 0)
    response = DiscoveryResponse.FromString(data)
    assert (response.type_url, response.nonce) == (CDS, f"{nonce:x}")
    assert response.version_info == hash_versions(resources)
    assert [item.value for item in response.resources] == [resource.body for resource in resources]


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (1 << 21, "80808001")]
)
def test_varint(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded


def test_the_version_of_several_does_not_depend_on_their_order() -> None:
    a, b = make_resource(CDS, "a", "1"), make_resource(CDS, "b", "1")
    assert hash_versions([a, b]) == hash_versions([b, a])
    assert hash_versions([a]) != hash_versions([b])


def test_streams_that_get_the_same_share_its_bytes() -> None:
    table = Table()
    table.put(EDS, "a", "1")
    exchange = Exchange(table)
    clients = [DeltaClient(exchange) for _ in range(50)]
    for client in clients:
        client.send(EDS, ["a"])
        client.settle()
    woken = exchange.announce([table.put(EDS, "a", "2")], 1.0)
    assert len(woken) == 50
    assert len({id(stream.take()[0].data) for stream in woken}) == 1


def test_a_nonce_is_never_used_twice_in_a_stream() -> None:
    table = Table()
    table.put(EDS, "a", "1")
    exchange = Exchange(table)
    first, second = DeltaClient(exchange), DeltaClient(exchange)
    for client in (first, second):
        for _ in range(3):
            client.send(EDS, ["a"])
            client.settle()
    for client in (first, second):
        nonces = [reply.nonce for reply in client.replies]
        assert len(set(nonces)) == 3


def test_what_is_kept_for_sharing_is_bounded() -> None:
    responses = Responses()
    for i in range(40):
        responses.delta(EDS, [make_resource(EDS, "a", str(i), 1_000_000)], [], 0)
    assert sum(len(data) for _, data in responses._shared.values()) < 10_000_000


def test_both_protocols_share_nothing() -> None:
    table = Table()
    table.put(CDS, "a", "1")
    exchange = Exchange(table)
    delta, sotw = DeltaClient(exchange), SotwClient(exchange)
    delta.send(CDS, ["a"])
    sotw.send(CDS, ["a"])
    assert delta.settle()[0].names == sotw.settle()[0].names == ["a"]
