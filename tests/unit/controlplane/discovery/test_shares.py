"""What all clients may have together is shared: a greedy one is refused, and the others are served."""

from __future__ import annotations

import pytest

from controlplane.discovery.bounds import Bounds, Refusal
from controlplane.translate.resource import CDS, EDS, LDS, RDS
from tests.unit.controlplane.discovery.table import ENVOY_NODE, DeltaClient, Exchange, SotwClient, Table

BOUNDS = Bounds(names_in_all=100, names_of_small=10, peer_parts=4)


def names(count: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_a_small_stream_is_served_when_the_large_ones_have_taken_all() -> None:
    exchange = Exchange(Table(), BOUNDS)
    for address in "abcd":
        DeltaClient(exchange, address=address).send(CDS, names(25))
    with pytest.raises(Refusal, match="all clients together"):
        DeltaClient(exchange, address="e").send(CDS, names(11))
    client = DeltaClient(exchange, address="e")
    for type_url in (LDS, RDS):
        client.send(type_url, names(5))
    assert [len(reply.removed) for reply in client.settle()] == [5, 5]
    with pytest.raises(Refusal, match="all clients together"):
        client.send(EDS, ["one more makes it large"])


def test_small_streams_together_have_a_bound_too() -> None:
    exchange = Exchange(Table(), BOUNDS)
    for number in range(20):
        DeltaClient(exchange, address=str(number)).send(CDS, names(10))
    with pytest.raises(Refusal, match="all clients together") as refusal:
        DeltaClient(exchange, address="late").send(CDS, ["a"])
    assert refusal.value.status == "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("client_type", [DeltaClient, SotwClient])
def test_one_address_has_a_part_of_the_names(client_type: type[DeltaClient | SotwClient]) -> None:
    exchange = Exchange(Table(), BOUNDS)
    greedy = client_type(exchange, address="a")
    with pytest.raises(Refusal, match="this address"):
        greedy.send(EDS, names(26))
    exchange.close(greedy.stream)
    again, other = client_type(exchange, address="a"), client_type(exchange, address="b")
    again.send(EDS, names(25))
    other.send(EDS, names(25))
    assert again.stream.peer.names == other.stream.peer.names == 25


def test_who_asks_for_no_more_names_is_not_refused() -> None:
    table = Table()
    table.put(CDS, "0", "1")
    exchange = Exchange(table, BOUNDS)
    client = SotwClient(exchange, ENVOY_NODE, "a")
    client.send(CDS, names(25))
    reply = client.pull()[0]
    client.stream.peer.names += 100
    client.ack(reply)
    client.send(CDS, names(24))
    assert [reply.names for reply in client.pull()] == [["0"]]


def test_one_address_has_a_part_of_the_streams() -> None:
    exchange = Exchange(Table(), Bounds(streams=8))
    streams = [exchange.open_delta("a"), exchange.open_sotw("a")]
    with pytest.raises(Refusal, match="2 streams of one address") as refusal:
        exchange.open_delta("a")
    assert refusal.value.status == "RESOURCE_EXHAUSTED"
    exchange.open_delta("b")
    for _ in range(2):
        exchange.close(streams[0])
    assert streams[0].peer.streams == 1
    exchange.open_delta("a")
    for stream in list(exchange.streams):
        exchange.close(stream)
    assert exchange._peers == {}


def test_envoys_may_name_more_than_others() -> None:
    exchange = Exchange(Table(), Bounds(names_per_type=2, names_per_type_envoy=3))
    DeltaClient(exchange, ENVOY_NODE).send(EDS, names(3))
    with pytest.raises(Refusal, match="2 names of a type"):
        DeltaClient(exchange).send(EDS, names(3))


@pytest.mark.parametrize("client_type", [DeltaClient, SotwClient])
def test_acknowledgements_are_not_counted_as_questions(client_type: type[DeltaClient | SotwClient]) -> None:
    table = Table()
    exchange = Exchange(table)
    client = client_type(exchange)
    client.send(EDS, ["a"])
    for content in "123":
        exchange.announce([table.put(EDS, "a", content)], float(content))
        client.settle()
    assert client.stream.asked == 1
    client.send(EDS, ["b"])
    assert client.stream.asked == 2
