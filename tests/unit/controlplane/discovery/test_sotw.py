"""The state-of-the-world protocol as conversations: requests in, responses out."""

from __future__ import annotations

import pytest

from controlplane.discovery.bounds import Bounds, Refusal
from controlplane.translate.resource import CDS, EDS, LDS, RDS
from tests.unit.controlplane.discovery.table import ENVOY_NODE, Exchange, SotwClient, Table


@pytest.fixture
def table() -> Table:
    table = Table()
    for type_url in (LDS, RDS, CDS, EDS):
        table.put(type_url, "a", "1")
        table.put(type_url, "b", "1")
    return table


@pytest.fixture
def exchange(table: Table) -> Exchange:
    return Exchange(table)


def said(client: SotwClient) -> list[tuple[str, list[str]]]:
    return [(reply.type_url, reply.names) for reply in client.pull()]


def test_clusters_are_always_complete_and_endpoints_are_not(exchange: Exchange, table: Table) -> None:
    client = SotwClient(exchange)
    client.send(CDS, ["a", "b"])
    client.send(EDS, ["a", "b"])
    client.settle()
    exchange.announce([table.put(CDS, "a", "2"), table.put(EDS, "a", "2")], 1.0)
    assert said(client) == [(CDS, ["a", "b"]), (EDS, ["a"])]


def test_every_change_of_the_name_set_is_answered(exchange: Exchange) -> None:
    client = SotwClient(exchange)
    client.send(CDS, ["a"])
    client.settle()
    client.send(CDS, ["a", "missing"])
    assert [reply.names for reply in client.settle()] == [["a"]]
    client.send(CDS, ["a"])
    assert [reply.names for reply in client.settle()] == [["a"]]
    client.send(EDS, ["a"])
    client.settle()
    client.send(EDS, ["a", "b"])
    assert [reply.names for reply in client.settle()] == [["b"]]
    client.send(EDS, ["a", "b", "missing"])
    assert [reply.names for reply in client.settle()] == [[]]


def test_a_name_given_up_and_asked_for_again_is_sent_again(exchange: Exchange) -> None:
    client = SotwClient(exchange)
    client.send(EDS, ["a", "b"])
    client.settle()
    client.send(EDS, ["b"])
    client.settle()
    client.send(EDS, ["a", "b"])
    assert [reply.names for reply in client.settle()] == [["a"]]


def test_the_same_names_again_are_not_answered(exchange: Exchange) -> None:
    client = SotwClient(exchange)
    client.send(CDS, ["a", "b"])
    client.settle()
    client.send(CDS, ["b", "a"])
    assert client.pull() == []


def test_a_request_with_a_stale_nonce_is_ignored(exchange: Exchange, table: Table) -> None:
    client = SotwClient(exchange)
    client.send(CDS, ["a"])
    first = client.settle()[0]
    exchange.announce([table.put(CDS, "a", "2")], 1.0)
    second = client.pull()[0]
    client.send(CDS, ["b"], nonce=first.nonce)
    assert client.pull() == []
    client.asked[CDS] = ["a", "b"]
    client.ack(second)
    assert said(client) == [(CDS, ["a", "b"])]


def test_a_request_before_the_first_response_arrived_counts(exchange: Exchange) -> None:
    client = SotwClient(exchange)
    client.send(EDS, ["a"])
    first = client.pull()[0]
    client.send(EDS, ["a", "b"], nonce="")
    assert client.pull() == [], "nothing is acknowledged by it"
    client.ack(first)
    assert said(client) == [(EDS, ["b"])]


def test_a_nonce_of_another_stream_is_a_first_request(exchange: Exchange) -> None:
    client = SotwClient(exchange)
    client.send(CDS, ["a"], nonce="ffff")
    assert said(client) == [(CDS, ["a"])]


def test_saying_nothing_is_the_wildcard_until_a_name_is_given(exchange: Exchange, table: Table) -> None:
    client = SotwClient(exchange)
    client.send(CDS)
    assert [reply.names for reply in client.settle()] == [["a", "b"]]
    client.send(CDS)
    assert client.pull() == []
    client.send(CDS, ["*", "missing"])
    assert [reply.names for reply in client.settle()] == [["a", "b"]]
    client.send(CDS, ["a"])
    assert [reply.names for reply in client.settle()] == [["a"]]
    client.send(CDS)
    assert [reply.names for reply in client.settle()] == [[]], "now it means nothing at all"
    exchange.announce([table.put(CDS, "a", "2")], 1.0)
    assert client.pull() == []


def test_an_empty_wildcard_is_answered() -> None:
    client = SotwClient(Exchange(Table()))
    client.send(LDS)
    assert said(client) == [(LDS, [])]


def test_saying_nothing_is_no_wildcard_for_routes(exchange: Exchange) -> None:
    client = SotwClient(exchange)
    client.send(RDS)
    assert client.pull() == []


def test_what_is_gone_stays_until_its_replacement_has_gone_out(exchange: Exchange, table: Table) -> None:
    client = SotwClient(exchange, ENVOY_NODE)
    client.send(CDS)
    client.send(RDS, ["a"])
    client.settle()
    table.remove(CDS, "a")
    table.put(CDS, "c", "1")
    table.put(RDS, "a", "2")
    exchange.announce(["a", "c"], 1.0)
    assert said(client) == [(CDS, ["b", "c", "a"]), (RDS, ["a"])]
    assert [(reply.type_url, reply.names) for reply in client.settle()] == [(CDS, ["b", "c"])]


def test_a_mere_removal_goes_after_the_routes(exchange: Exchange, table: Table) -> None:
    client = SotwClient(exchange)
    client.send(CDS)
    client.send(LDS)
    client.send(RDS, ["a"])
    client.settle()
    exchange.announce([table.remove(CDS, "b"), table.remove(LDS, "b"), table.put(RDS, "a", "2")], 1.0)
    assert said(client) == [(RDS, ["a"]), (LDS, ["a"]), (CDS, ["a"])]


def test_endpoints_that_are_gone_are_not_mentioned_and_come_back(exchange: Exchange, table: Table) -> None:
    client = SotwClient(exchange)
    client.send(EDS, ["a"])
    client.settle()
    exchange.announce([table.remove(EDS, "a")], 1.0)
    assert client.pull() == []
    exchange.announce([table.put(EDS, "a", "1")], 2.0)
    assert said(client) == [(EDS, ["a"])]


def test_a_refused_response_is_not_sent_again_until_something_changes(exchange: Exchange, table: Table) -> None:
    client = SotwClient(exchange)
    client.send(CDS, ["a", "b"])
    client.ack(client.pull()[0], problem="no")
    assert client.pull() == []
    assert exchange.nacks_total[CDS] == 1
    exchange.announce([table.put(CDS, "b", "2")], 1.0)
    assert said(client) == [(CDS, ["a", "b"])]


def test_a_wildcard_client_from_another_replica_gets_nothing_that_it_has(table: Table) -> None:
    first = SotwClient(Exchange(table))
    first.send(CDS)
    first.settle()
    exchange = Exchange(table)
    second = SotwClient(exchange)
    second.versions = first.versions
    second.send(CDS)
    assert second.pull() == []
    exchange.announce([table.put(CDS, "a", "2")], 1.0)
    assert said(second) == [(CDS, ["a", "b"])]
    third = SotwClient(exchange)
    third.versions = first.versions
    third.send(CDS)
    assert said(third) == [(CDS, ["a", "b"])], "what it has is old"


def test_versions_are_the_same_on_every_replica(table: Table) -> None:
    versions = set()
    for _ in range(2):
        client = SotwClient(Exchange(table))
        client.send(CDS, ["b", "a"])
        versions.add(client.settle()[0].version)
    assert len(versions) == 1


def test_endpoints_go_again_to_envoy_after_their_cluster_changed(exchange: Exchange, table: Table) -> None:
    client = SotwClient(exchange, ENVOY_NODE)
    client.send(CDS)
    client.settle()
    client.send(EDS, ["a", "b"])
    client.settle()
    exchange.announce([table.put(CDS, "a", "2")], 1.0)
    assert [(reply.type_url, reply.names) for reply in client.settle()] == [(CDS, ["a", "b"]), (EDS, ["a"])]


def test_many_endpoints_are_cut_and_clusters_are_not(table: Table) -> None:
    for name in ("c", "d", "e"):
        table.put(EDS, name, "1", size=800)
        table.put(CDS, name, "1", size=800)
    client = SotwClient(Exchange(table, Bounds(response_bytes=1000)))
    client.send(EDS, ["c", "d", "e"])
    assert [reply.names for reply in client.settle()] == [["c", "d"], ["e"]]
    client.send(CDS, ["c", "d", "e"])
    assert [reply.names for reply in client.settle()] == [["c", "d", "e"]]


def test_too_many_names_are_refused(table: Table) -> None:
    client = SotwClient(Exchange(table, Bounds(names_per_type=2)))
    with pytest.raises(Refusal) as refusal:
        client.send(EDS, ["1", "2", "3"])
    assert refusal.value.status == "RESOURCE_EXHAUSTED"


def test_what_is_no_request_is_refused(exchange: Exchange) -> None:
    with pytest.raises(Refusal, match="DiscoveryRequest"):
        exchange.open_sotw().receive(b"\xff\xff\xff")


def test_what_is_asked_for_again_while_a_response_is_in_flight_is_sent_again(exchange: Exchange) -> None:
    """A request that crosses a response is not heeded; the client has forgotten what it gave up in it."""
    client = SotwClient(exchange)
    client.send(EDS, ["a", "b"])
    client.settle()
    exchange.announce(["a"], 1.0)
    client.send(EDS, ["a", "b", "c"])
    (crossed,) = client.pull()
    client.send(EDS, ["b", "c"], nonce="0")
    client.asked[EDS] = ["a", "b", "c"]
    client.ack(crossed)
    assert said(client) == [(EDS, ["a"])]


def test_a_name_given_in_a_request_that_is_not_heeded_ends_the_wildcard_all_the_same(exchange: Exchange) -> None:
    client = SotwClient(exchange)
    client.send(CDS)
    first = client.pull()[0]
    client.send(CDS, ["a"], nonce="0")
    client.asked[CDS] = []
    client.ack(first)
    assert [reply.names for reply in client.settle()] == [[]]


def test_of_an_unknown_type_nothing_is_kept_and_each_question_is_answered_once(exchange: Exchange) -> None:
    client, unknown = SotwClient(exchange), "type.googleapis.com/unknown"
    client.send(unknown, ["x"])
    assert [reply.names for reply in client.settle()] == [[]]
    assert client.pull() == []
    client.send(unknown, ["x", "y"])
    assert [reply.names for reply in client.settle()] == [[]]
    assert exchange.interests.follows == 0


def test_whole_answers_go_no_faster_than_their_size_allows_and_endpoints_do_not_wait(table: Table) -> None:
    exchange = Exchange(table, bytes_per_s=100.0)
    client = SotwClient(exchange, ENVOY_NODE)
    client.now = 1.0
    client.send(CDS)
    client.send(EDS, ["a"])
    client.send(RDS, ["a"])
    client.settle()
    exchange.announce([table.put(CDS, "a", "2"), table.put(EDS, "a", "2"), table.put(RDS, "a", "2")], 1.0)
    assert said(client) == [(EDS, ["a"])], "clusters wait, and with them the routes that may lead to new ones"
    due = client.stream.next_take(1.0)
    assert due is not None
    assert due > 1.0
    client.now = due
    assert [reply.type_url for reply in client.settle()] == [CDS, RDS, EDS]
    assert client.held[CDS]["a"] == table.resources[CDS, "a"].version
    exchange.announce([table.remove(CDS, "b")], due)
    assert client.pull() == [], "nor does what is gone go sooner"
    client.now = client.stream.next_take(due) or 0.0
    assert said(client) == [(CDS, ["a"])]


def test_a_cluster_without_endpoints_of_ours_is_not_waited_for(exchange: Exchange, table: Table) -> None:
    """As of type LOGICAL_DNS: Envoy never asks for its endpoints."""
    table.put(CDS, "external", "1")
    client = SotwClient(exchange, ENVOY_NODE)
    client.send(CDS)
    client.settle()
    client.send(EDS, ["a", "b"])
    client.settle()
    assert client.stream._warming == set()
    assert not client.stream.has_news
