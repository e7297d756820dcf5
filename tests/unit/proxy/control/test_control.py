"""Names that are wanted, and what is said of them, without a control plane at all."""

from __future__ import annotations

import asyncio
import random

import pytest

from proxy.control import Control, Node
from proxy.control.control import MAX_NAMES, UNUSED_S, is_name
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE
from proxy.route.model import Address, Destination
from tests.unit.proxy.control.resources import make_cluster, make_endpoints, make_listener, make_resource, make_routes


class Ledger:
    def __init__(self) -> None:
        self.changes: list[tuple[str, Destination | None]] = []
        node = Node("pod.ns", "ns")
        self.control = Control(Address("127.0.0.1", 1), node, self._note, random.Random(1).random)

    def _note(self, name: str, destination: Destination | None) -> None:
        self.changes.append((name, destination))
        if name == "fault:1":
            raise ValueError("whatever the proxy may do wrong")

    def wanted(self) -> list[str]:
        return list(self.control.delta.types[LISTENER].names)


@pytest.mark.parametrize(
    "name",
    ["voting", "voting:8080", "voting.ns.svc.cluster.local:80", "10.0.0.1:80", "[fd00::1]:80", "my_service:1", "A:1"],
)
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "*",
        "a/b",
        "a b",
        "a:b",
        "a:",
        "a:123456",
        ":80",
        "a:80:80",
        "ä:80",
        "a\n",
        "a\x00",
        "xdstp://x/y",
        "x" * 301,
    ],
)
def test_what_is_no_name_is_answered_and_never_sent(name: str) -> None:
    assert not is_name(name)


async def test_a_bad_name_is_missing_at_once_but_not_from_within_want() -> None:
    ledger = Ledger()
    ledger.control.want("*", 1.0)
    assert ledger.changes == []
    await asyncio.sleep(0)
    assert ledger.changes == [("*", None)]
    assert ledger.control.is_missing("*")
    assert ledger.wanted() == []
    assert ledger.control.subscriptions == 0


async def test_what_was_not_asked_for_the_longest_makes_room() -> None:
    ledger = Ledger()
    for index in range(MAX_NAMES):
        ledger.control.want(f"n{index}:80", 1.0)
    ledger.control.want("n0:80", 2.0)
    ledger.control.want("new:80", 3.0)
    await asyncio.sleep(0)
    assert ledger.changes == [("n1:80", None)]
    assert len(ledger.wanted()) == ledger.control.subscriptions == MAX_NAMES
    assert {"n0:80", "new:80"} < set(ledger.wanted())


async def test_names_that_lead_nowhere_do_not_drive_out_those_in_use() -> None:
    ledger = Ledger()
    for name in ("old:80", "used:80"):
        ledger.control.want(name, 1.0)
        ledger.control.tree.put(make_resource(LISTENER, name, "1", make_listener(name, "routes")))
    ledger.control.tree.put(make_resource(ROUTE, "routes", "1", make_routes("routes", "cluster")))
    ledger.control.tree.settle()
    ledger.control.tree.put(make_resource(CLUSTER, "cluster", "1", make_cluster("cluster", "endpoints")))
    ledger.control.tree.settle()
    ledger.control.tree.put(make_resource(ENDPOINTS, "endpoints", "1", make_endpoints("endpoints", ("10.0.0.1", 80))))
    await asyncio.sleep(0)
    for index in range(3 * MAX_NAMES):
        ledger.control.want(f"made-up-{index}:80", 2.0)
    assert {"old:80", "used:80"} < set(ledger.wanted())
    assert len(ledger.wanted()) == MAX_NAMES
    assert ledger.control.known("used:80") is not None


async def test_what_is_not_used_any_more_is_forgotten() -> None:
    ledger = Ledger()
    ledger.control.want("old:80", 1.0)
    ledger.control.want("used:80", 2.0)
    ledger.control.forget_unused(1.0 + UNUSED_S)
    await asyncio.sleep(0)
    assert ledger.changes == [("old:80", None)]
    assert ledger.wanted() == ["used:80"]


async def test_ten_times_as_many_names_leave_no_more_behind() -> None:
    ledger = Ledger()
    for index in range(10 * MAX_NAMES):
        ledger.control.want(f"n{index}:80", 1.0)
    ledger.control.delta.requests(1.0)
    for index in range(10 * MAX_NAMES):
        ledger.control.want(f"m{index}:80", 1.0)
    await asyncio.sleep(0)
    assert len(ledger.wanted()) == MAX_NAMES
    requests = ledger.control.delta.requests(2.0)
    assert sum(len(request.subscribe) for request in requests) == MAX_NAMES
    assert sum(len(request.unsubscribe) for request in requests) == MAX_NAMES


async def test_a_fault_of_the_listener_does_not_reach_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger()
    for name in ("fault:1", "other:1"):
        ledger.control.want(name, 1.0)
        ledger.control.tree.remove(LISTENER, name)
    await asyncio.sleep(0)
    assert ledger.changes == [("fault:1", None), ("other:1", None)]
    assert "whatever the proxy may do wrong" in capfd.readouterr().err


async def test_before_any_contact() -> None:
    control = Ledger().control
    assert not control.connected
    assert control.since_contact_s(5.0) is None
    assert control.read_bytes() == (0, 0)
    assert control.known("a:1") is None
    assert not control.is_missing("a:1")
