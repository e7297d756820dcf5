"""Looked up once for all, found by key, and not faster than may be sent."""

from __future__ import annotations

from envoy.config.core.v3.base_pb2 import Node

from controlplane.translate.resource import CDS, EDS, RDS, View
from tests.unit.controlplane.discovery.table import DeltaClient, Exchange, Table


def make(table: Table, count: int = 1, bytes_per_s: float = 1000.0) -> tuple[Exchange, list[DeltaClient]]:
    exchange = Exchange(table, bytes_per_s=bytes_per_s)
    clients = [DeltaClient(exchange) for _ in range(count)]
    for client in clients:
        client.send(EDS, ["a"])
        client.settle()
    return exchange, clients


def test_a_change_is_looked_up_once_for_all_streams_of_a_view() -> None:
    table = Table()
    table.put(EDS, "a", "1")
    exchange, clients = make(table, 100)
    assert table.gets == 1
    assert len(exchange.announce([table.put(EDS, "a", "2")], 1.0)) == len(clients)
    assert table.gets == 2


def test_where_a_client_is_matters_to_endpoints_only() -> None:
    table = Table()
    exchange = Exchange(table)
    for host in ("1", "2"):
        node = Node(id="a.demo", user_agent_name="gossamer")
        node.metadata.update({"NODE_NAME": host})
        client = DeltaClient(exchange, node)
        for type_url in (CDS, EDS):
            client.send(type_url, ["a"])
    assert sorted(interest.view.node for interest in exchange.interests) == ["", "1", "2"]


def test_other_names_are_not_looked_up() -> None:
    table = Table()
    exchange, _ = make(table)
    before = table.gets
    assert exchange.announce([table.put(EDS, "b", "2")], 1.0) == []
    assert table.gets == before


def test_the_first_change_goes_at_once_and_later_ones_at_the_rate() -> None:
    table = Table()
    table.put(EDS, "a", "1", size=1000)
    exchange, clients = make(table, 10)
    assert len(exchange.announce([table.put(EDS, "a", "2", size=1000)], 100.0)) == 10
    for client in clients:
        client.settle()
    assert exchange.announce([table.put(EDS, "a", "3", size=1000)], 101.0) == []
    assert exchange.announce([table.put(EDS, "a", "4", size=1000)], 102.0) == []
    due = exchange.next_release
    assert due is not None
    assert 110.0 < due < 111.0, "10 streams x just over 1,000 bytes at 1,000 bytes/s"
    assert exchange.release(due - 0.01) == []
    woken = exchange.release(due)
    assert len(woken) == 10
    push = woken[0].take()[0]
    assert push.since == 101.0, "the oldest of what was put off"
    assert table.resources[EDS, "a"].body in push.data
    assert exchange.next_release is None
    assert exchange.announce([table.put(EDS, "a", "5")], due + 100) != [], "after a pause it goes at once again"


def test_what_changed_back_meanwhile_is_not_sent() -> None:
    table = Table()
    table.put(EDS, "a", "1", size=1000)
    exchange, clients = make(table)
    exchange.announce([table.put(EDS, "a", "2", size=1000)], 1.0)
    clients[0].settle()
    exchange.announce([table.put(EDS, "a", "3", size=1000)], 1.1)
    exchange.announce([table.put(EDS, "a", "2", size=1000)], 1.2)
    assert exchange.release(10.0) == []


def test_one_resource_does_not_slow_another() -> None:
    table = Table()
    table.put(EDS, "a", "1", size=1000)
    table.put(EDS, "b", "1")
    exchange, clients = make(table)
    clients[0].send(EDS, ["b"])
    clients[0].settle()
    exchange.announce([table.put(EDS, "a", "2", size=1000)], 1.0)
    clients[0].settle()
    assert exchange.announce([table.put(EDS, "a", "3"), table.put(EDS, "b", "2")], 1.1) != []
    assert [reply.names for reply in clients[0].settle()] == [["b"]]


class Alias(Table):
    """`alias` means what `meaning` says, and depends on both candidates, as a short name does."""

    meaning = "a"

    def keys(self, type_url: str, name: str, view: View) -> tuple[str, ...]:
        return (self.meaning, "switch") if name == "alias" else (name,)

    def get(self, type_url: str, name: str, view: View):  # type: ignore[no-untyped-def]
        return super().get(type_url, self.meaning if name == "alias" else name, view)


def test_keys_may_change_with_the_answer() -> None:
    table = Alias()
    table.put(CDS, "a", "1")
    table.put(CDS, "b", "other")
    exchange = Exchange(table)
    client = DeltaClient(exchange)
    client.send(CDS, ["alias"])
    client.settle()
    table.meaning = "b"
    assert exchange.announce(["switch"], 1.0) != []
    client.settle()
    assert exchange.announce([table.put(CDS, "a", "2")], 2.0) == []
    assert exchange.announce([table.put(CDS, "b", "2")], 100.0) != []
    exchange.close(client.stream)
    assert exchange.interests._by_key == {}


def on_node(exchange: Exchange, node_name: str) -> DeltaClient:
    node = Node(id="a.demo", user_agent_name="gossamer")
    node.metadata.update({"NODE_NAME": node_name})
    client = DeltaClient(exchange, node)
    client.send(EDS, ["a"])
    client.settle()
    return client


def test_the_rate_is_one_for_the_views_of_all_nodes() -> None:
    table = Table()
    table.put(EDS, "a", "1", size=1000)
    exchange = Exchange(table, bytes_per_s=1000.0)
    clients = [on_node(exchange, str(number)) for number in range(10)]
    assert len(exchange.announce([table.put(EDS, "a", "2", size=1000)], 100.0)) == 10, "all at once, of every view"
    for client in clients:
        client.settle()
    assert exchange.announce([table.put(EDS, "a", "3", size=1000)], 109.0) == []
    assert len(exchange.release(111.0)) == 10
    for client in clients:
        exchange.close(client.stream)
    assert exchange.interests._paces == {}


def test_who_comes_while_a_change_is_put_off_gets_it_and_the_others_get_it_later() -> None:
    table = Table()
    table.put(EDS, "a", "1", size=1000)
    exchange, (old,) = make(table)
    exchange.announce([table.put(EDS, "a", "2", size=1000)], 1.0)
    old.settle()
    newest = exchange.announce([table.put(EDS, "a", "3", size=1000)], 1.1)
    assert newest == []
    newcomer = DeltaClient(exchange)
    newcomer.send(EDS, ["a"])
    newcomer.settle()
    assert newcomer.held[EDS]["a"] == table.resources[EDS, "a"].version
    assert old.stream in exchange.release(10.0)
    assert [reply.names for reply in old.settle()] == [["a"]]
    assert old.held == newcomer.held
    assert newcomer.settle() == []


def test_what_changes_back_after_a_newcomer_has_seen_it_is_told() -> None:
    table = Table()
    table.put(EDS, "a", "1", size=1000)
    exchange, (old,) = make(table)
    exchange.announce([table.put(EDS, "a", "2", size=1000)], 1.0)
    old.settle()
    exchange.announce([table.put(EDS, "a", "3", size=1000)], 1.1)
    newcomer = DeltaClient(exchange)
    newcomer.send(EDS, ["a"])
    newcomer.settle()
    exchange.announce([table.put(EDS, "a", "2", size=1000)], 1.2)
    assert newcomer.stream in exchange.release(10.0)
    newcomer.settle()
    assert old.settle() == []
    assert newcomer.held == old.held == {EDS: {"a": table.resources[EDS, "a"].version}}


class Whole(Table):
    """Envoy's routes, `all`, depend on the whole mesh."""

    def keys(self, type_url: str, name: str, view: View) -> tuple[str, ...]:
        return ("*",) if name == "all" else (name,)


def envoy_in(exchange: Exchange, namespace: str) -> DeltaClient:
    client = DeltaClient(exchange, Node(id=f"envoy.{namespace}", user_agent_name="envoy"))
    client.send(CDS)
    client.send(RDS, ["all"])
    client.settle()
    return client


def test_of_what_depends_on_the_whole_mesh_one_is_looked_up_at_a_time() -> None:
    table = Whole()
    table.put(RDS, "all", "1")
    exchange = Exchange(table)
    clients = [envoy_in(exchange, namespace) for namespace in "abc"]
    table.put(RDS, "all", "2")
    before = table.gets
    assert len(exchange.announce([], 1.0)) == 1
    assert table.gets == before + 1
    assert exchange.next_release == 1.0
    assert len(exchange.release(1.0)) == len(exchange.release(1.0)) == 1
    assert exchange.next_release is None
    assert [[reply.names for reply in client.settle()] for client in clients] == [[["all"]]] * 3


def test_a_cluster_stays_until_the_routes_that_were_put_off_have_gone_out() -> None:
    table = Whole()
    table.put(RDS, "all", "1")
    table.put(CDS, "gone", "1")
    exchange = Exchange(table)
    clients = [envoy_in(exchange, namespace) for namespace in "abc"]
    table.remove(CDS, "gone")
    table.put(RDS, "all", "2")
    exchange.announce(["gone"], 1.0)
    waiting = [client for client in clients if not client.pull()]
    assert len(waiting) == 2
    for _ in waiting:
        exchange.release(1.0)
    for client in waiting:
        assert [(reply.type_url, reply.removed) for reply in client.pull()] == [(RDS, []), (CDS, ["gone"])]


def test_a_cluster_goes_too_if_the_routes_have_not_changed_after_all() -> None:
    table = Whole()
    table.put(RDS, "all", "1")
    table.put(CDS, "gone", "1")
    exchange = Exchange(table)
    clients = [envoy_in(exchange, namespace) for namespace in "ab"]
    exchange.announce([table.remove(CDS, "gone")], 1.0)
    woken = exchange.release(1.0)
    for client in clients:
        client.pull()
    assert {client.stream for client in clients} >= set(woken) != set()
    assert [client.held[CDS] for client in clients] == [{}, {}]
