"""The incremental protocol as conversations: requests in, responses out."""

from __future__ import annotations

import pytest
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest

from controlplane.discovery.bounds import Bounds, Refusal
from controlplane.translate.resource import CDS, EDS, LDS, RDS
from tests.unit.controlplane.discovery.table import ENVOY_NODE, DeltaClient, Exchange, Table


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


def said(client: DeltaClient) -> list[tuple[str, list[str], list[str]]]:
    return [(reply.type_url, reply.names, reply.removed) for reply in client.pull()]


def test_a_name_is_answered_with_the_resource_or_as_removed(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a", "missing"])
    assert said(client) == [(CDS, ["a"], ["missing"])]


def test_what_is_acknowledged_is_not_sent_again(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.settle()
    assert said(client) == []


def test_only_what_changed_is_sent(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a", "b"])
    client.settle()
    assert exchange.announce([table.put(CDS, "b", "2")], 1.0) == [client.stream]
    assert said(client) == [(CDS, ["b"], [])]


def test_a_change_of_nothing_wakes_nobody(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.settle()
    assert exchange.announce([table.put(CDS, "a", "1"), "unrelated"], 1.0) == []


def test_a_name_comes_to_life_and_ends(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["later"])
    client.settle()
    exchange.announce([table.put(CDS, "later", "1")], 1.0)
    assert [reply.names for reply in client.settle()] == [["later"]]
    exchange.announce([table.remove(CDS, "later")], 2.0)
    assert [reply.removed for reply in client.settle()] == [["later"]]
    exchange.announce([table.put(CDS, "later", "1")], 3.0)
    assert [reply.names for reply in client.settle()] == [["later"]]


def test_a_subscription_is_answered_again_though_nothing_changed(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.settle()
    client.send(CDS, ["a"])
    assert said(client) == [(CDS, ["a"], [])]


def test_one_unacknowledged_response_per_type_and_then_the_newest(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.pull()
    for content in ("2", "3", "4"):
        exchange.announce([table.put(CDS, "a", content)], float(content) * 10)
        assert client.pull() == []
    client.ack(client.unacked[0])
    assert [reply.names for reply in client.settle()] == [["a"]]
    assert client.held[CDS]["a"] == table.resources[CDS, "a"].version


def test_another_type_is_never_waited_for(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.pull()
    client.send(EDS, ["a"])
    assert said(client) == [(EDS, ["a"], [])]


def test_a_subscription_counts_with_a_stale_nonce(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    first = client.pull()[0]
    client.send(CDS, ["b"], nonce="stale")
    assert client.pull() == [], "a stale nonce acknowledges nothing"
    client.ack(first)
    assert said(client) == [(CDS, ["b"], [])]


def test_order_of_an_update_and_of_removals(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    for type_url in (LDS, RDS, CDS, EDS):
        client.send(type_url, ["a", "b", "c"])
    client.settle()
    for type_url in (LDS, RDS, CDS, EDS):
        table.put(type_url, "c", "1")
    exchange.announce(["c"], 1.0)
    assert [reply[0] for reply in said(client)] == [CDS, EDS, LDS, RDS]
    client.settle()
    for type_url in (LDS, RDS, CDS, EDS):
        table.remove(type_url, "c")
    exchange.announce(["c"], 2.0)
    assert said(client) == [(type_url, [], ["c"]) for type_url in (RDS, LDS, EDS, CDS)]


def test_what_is_gone_goes_after_what_replaces_it(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    for type_url in (RDS, CDS):
        client.send(type_url, ["a", "b"])
    client.settle()
    exchange.announce([table.remove(CDS, "a"), table.put(RDS, "b", "2")], 1.0)
    assert said(client) == [(RDS, ["b"], []), (CDS, [], ["a"])]


def test_a_client_from_another_replica_gets_nothing_that_it_has(table: Table) -> None:
    first = DeltaClient(Exchange(table))
    first.send(CDS, ["a", "b"])
    first.settle()
    second = DeltaClient(Exchange(table))
    second.send(CDS, ["a", "b"], initial=first.held[CDS])
    assert said(second) == []


def test_a_client_from_another_replica_gets_what_differs(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a", "b", "gone", "new"], initial={"a": "old", "gone": "old", "stranger": "old"})
    assert said(client) == [(CDS, ["a", "b"], ["new"])]
    client.ack(client.unacked[0])
    assert said(client) == [(CDS, [], ["gone"])], "a known name that no longer exists"


def test_initial_versions_count_in_the_first_request_of_a_type_only(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.settle()
    client.send(CDS, ["b"], initial={"b": table.resources[CDS, "b"].version})
    assert said(client) == [(CDS, ["b"], [])]


def test_a_refused_response_is_not_sent_again_until_it_changes(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.ack(client.pull()[0], problem="bad\nfield")
    assert client.pull() == []
    assert exchange.nacks_total[CDS] == 1
    assert exchange.new_nacks[0].problem == "bad\\nfield"
    assert exchange.new_nacks[0].names == ("a",)
    assert "a" in client.stream.subscriptions[CDS].rejected
    exchange.announce([table.put(CDS, "a", "2")], 1.0)
    assert said(client) == [(CDS, ["a"], [])]
    assert client.stream.subscriptions[CDS].rejected == {}


def test_many_refusals_of_the_same_are_reported_once_and_all_counted(exchange: Exchange) -> None:
    clients = [DeltaClient(exchange) for _ in range(5)]
    for client in clients:
        client.send(CDS, ["a"])
        client.ack(client.pull()[0], problem="no")
    assert (len(exchange.new_nacks), exchange.nacks_total[CDS]) == (1, 5)


def test_saying_nothing_first_is_the_wildcard(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS)
    assert said(client) == [(CDS, ["a", "b"], [])]
    client.send(CDS, nonce=client.unacked.pop().nonce)
    table.put(CDS, "c", "1")
    exchange.announce(["c"], 1.0)
    assert [reply.names for reply in client.settle()] == [["c"]]
    table.remove(CDS, "a")
    exchange.announce(["a"], 2.0)
    assert [reply.removed for reply in client.settle()] == [["a"]]


def test_saying_nothing_is_no_wildcard_for_endpoints(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(EDS)
    assert client.pull() == []


def test_saying_nothing_later_is_no_wildcard(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.settle()
    client.send(CDS, unsubscribe=["a"])
    client.send(CDS)
    exchange.announce([table.put(CDS, "a", "2"), table.put(CDS, "b", "2")], 1.0)
    assert client.pull() == []


def test_an_empty_wildcard_is_answered_once() -> None:
    client = DeltaClient(Exchange(Table()))
    client.send(LDS, ["*"])
    assert said(client) == [(LDS, [], [])]
    client.ack(client.unacked[0])
    assert client.pull() == []


def test_a_wildcard_of_which_all_is_known_is_not_answered(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    versions = {name: table.resources[CDS, name].version for name in ("a", "b")}
    client.send(CDS, ["*"], initial=versions)
    assert client.pull() == []
    other = DeltaClient(exchange)
    other.send(CDS, ["*"], initial=versions | {"gone": "x"})
    assert said(other) == [(CDS, [], ["gone"])]


def test_a_name_beside_the_wildcard(exchange: Exchange, table: Table) -> None:
    table.put(CDS, "hidden", "1")
    client = DeltaClient(exchange)
    client.send(CDS, ["*", "hidden"])
    assert said(client) == [(CDS, ["a", "b", "hidden"], [])]
    client.settle()
    client.send(CDS, unsubscribe=["hidden"])
    assert said(client) == [(CDS, [], ["hidden"])]
    client.settle()
    client.send(CDS, ["a"])
    client.settle()
    client.send(CDS, unsubscribe=["a"])
    assert said(client) == [(CDS, ["a"], [])], "the wildcard still stands for it, so the client is told"


def test_what_leaves_the_wildcard_is_removed_though_it_exists(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS)
    client.settle()
    table.hidden.add("a")
    exchange.announce([], 1.0)
    assert said(client) == [(CDS, [], ["a"])]


def test_ending_the_wildcard_keeps_the_names(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS)
    client.settle()
    client.send(CDS, ["a"])
    client.settle()
    client.send(CDS, unsubscribe=["*"])
    exchange.announce([table.put(CDS, "a", "2"), table.put(CDS, "b", "2"), table.put(CDS, "c", "2")], 1.0)
    assert [reply.names for reply in client.settle()] == [["a"]]


def test_an_acknowledgement_brings_no_news(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    assert client.stream.has_news
    client.settle()
    assert not client.stream.has_news


def test_unsubscribing_what_nobody_subscribed_is_ignored(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"], ["never"])
    assert said(client) == [(CDS, ["a"], [])]


def test_endpoints_go_again_to_envoy_after_their_cluster_changed(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange, ENVOY_NODE)
    client.send(CDS)
    client.settle()
    client.send(EDS, ["a", "b"])
    client.settle()
    exchange.announce([table.put(CDS, "a", "2")], 1.0)
    assert [(reply.type_url, reply.names) for reply in client.settle()] == [(CDS, ["a"]), (EDS, ["a"])]


def test_endpoints_go_again_also_when_the_cluster_changed_while_envoy_was_away(
    exchange: Exchange, table: Table
) -> None:
    client = DeltaClient(exchange, ENVOY_NODE)
    endpoints = {name: table.resources[EDS, name].version for name in ("a", "b")}
    client.send(CDS, initial={"a": "old", "b": table.resources[CDS, "b"].version})
    client.pull()
    client.send(EDS, ["a", "b"], initial=endpoints)
    assert said(client) == [(EDS, ["a"], [])]


def test_endpoints_do_not_go_again_to_others(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    client.send(EDS, ["a"])
    client.settle()
    exchange.announce([table.put(CDS, "a", "2")], 1.0)
    assert [(reply.type_url, reply.names) for reply in client.settle()] == [(CDS, ["a"])]


def test_of_an_unknown_type_nothing_is_kept_and_the_answer_is_empty(exchange: Exchange) -> None:
    client, unknown = DeltaClient(exchange), "type.googleapis.com/unknown"
    client.send(unknown, ["x"] * 3)
    assert [(reply.type_url, reply.names) for reply in client.settle()] == [(unknown, [])]
    assert client.pull() == []
    client.send(unknown, ["y"])
    assert said(client) == [(unknown, [], [])]
    assert exchange.interests.follows == 0
    assert client.stream.subscriptions[unknown].names == set()


def test_a_large_answer_is_cut(table: Table) -> None:
    exchange = Exchange(table, Bounds(response_bytes=1000))
    for name in ("c", "d", "e"):
        table.put(EDS, name, "1", size=800)
    client = DeltaClient(exchange)
    client.send(EDS, ["c", "d", "e"])
    assert [reply.names for reply in client.settle()] == [["c", "d"], ["e"]]


@pytest.mark.parametrize(
    ("type_url", "names", "status"),
    [
        (CDS, [str(i) for i in range(11)], "RESOURCE_EXHAUSTED"),
        (CDS, ["x" * 513], "INVALID_ARGUMENT"),
        (CDS, [""], "INVALID_ARGUMENT"),
        ("", ["a"], "INVALID_ARGUMENT"),
        ("x" * 513, ["a"], "INVALID_ARGUMENT"),
    ],
)
def test_a_hostile_request_ends_its_own_stream_only(table: Table, type_url: str, names: list[str], status: str) -> None:
    exchange = Exchange(table, Bounds(names_per_type=10))
    other, hostile = DeltaClient(exchange), DeltaClient(exchange)
    other.send(CDS, ["a"])
    with pytest.raises(Refusal) as refusal:
        hostile.send(type_url, names)
    assert refusal.value.status == status
    exchange.close(hostile.stream)
    assert said(other) == [(CDS, ["a"], [])]
    assert exchange.interests.follows == 1


def test_names_add_up_over_requests_and_types_are_counted(table: Table) -> None:
    exchange = Exchange(table, Bounds(names_per_type=2, types_per_stream=2))
    client = DeltaClient(exchange)
    client.send(CDS, ["1", "2"])
    client.send(CDS, ["3"], unsubscribe=["1"])
    with pytest.raises(Refusal, match="2 names"):
        client.send(CDS, ["4"])
    client.send(EDS, ["1"])
    with pytest.raises(Refusal, match="2 types"):
        client.send(RDS, ["1"])


def test_what_is_no_request_is_refused(exchange: Exchange) -> None:
    with pytest.raises(Refusal, match="DeltaDiscoveryRequest"):
        exchange.open_delta().receive(b"\xff\xff\xff")


def test_the_number_of_streams_is_bounded(table: Table) -> None:
    exchange = Exchange(table, Bounds(streams=1))
    stream = exchange.open_delta()
    with pytest.raises(Refusal) as refusal:
        exchange.open_sotw()
    assert refusal.value.status == "RESOURCE_EXHAUSTED"
    exchange.close(stream)
    exchange.open_sotw()


def test_a_request_without_a_node_is_a_plain_client(exchange: Exchange) -> None:
    stream = exchange.open_delta()
    stream.receive(DeltaDiscoveryRequest(type_url=CDS, resource_names_subscribe=["a"]).SerializeToString())
    assert len(stream.take()) == 1
    assert stream.name == "a client without a name"


def test_of_a_client_s_account_of_itself_little_is_kept(exchange: Exchange) -> None:
    stream = exchange.open_delta()
    node = Node(id="a" * 100_000, user_agent_name="envoy", extensions=[{"name": "x" * 1000}])
    node.metadata.update({"NAMESPACE": "shop", "more": "x" * 100_000})
    stream.receive(DeltaDiscoveryRequest(node=node, type_url=CDS).SerializeToString())
    assert stream.node is not None
    assert stream.node.ByteSize() < 1000
    assert (stream.view.kind, stream.view.namespace) == ("envoy", "shop")
    assert len(stream.name) == 200


def test_refusals_of_a_hostile_client_fill_no_log(exchange: Exchange) -> None:
    client = DeltaClient(exchange)
    client.send(CDS, ["a"])
    for i in range(100):
        client.ack(client.pull()[0], problem=f"no {i}")
        client.send(CDS, ["a"])
    assert exchange.nacks_total[CDS] == 100
    assert len(exchange.new_nacks) == 10


def test_a_closed_stream_leaves_nothing(exchange: Exchange, table: Table) -> None:
    client = DeltaClient(exchange, ENVOY_NODE)
    client.send(CDS)
    client.send(EDS, ["a"])
    client.settle()
    exchange.close(client.stream)
    assert exchange.interests.follows == 0
    assert list(exchange.interests) == []
    assert exchange.announce([table.put(CDS, "a", "2")], 1.0) == []
