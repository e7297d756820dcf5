"""From a source's changes to the streams that have something to send, with the real graph and translator."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace

import pytest
from envoy.config.core.v3.base_pb2 import Node

from controlplane.discovery.stream import Stream
from controlplane.graph.graph import Graph
from controlplane.model.objects import (
    PODS,
    SERVICES,
    SLICES,
    Pod,
    Service,
    ServicePort,
    Slice,
    SliceEndpoint,
    SlicePort,
)
from controlplane.model.snapshot import Change, Relist
from controlplane.state import WITHHELD_S, State
from controlplane.translate.resource import EDS, RDS
from tests.unit.controlplane.discovery.table import DeltaClient

SERVICE = Service("demo", "voting", headless=True, ports=(ServicePort("grpc", 8080),))
TARGET = "voting.demo.svc.cluster.local:8080"


def make_slice(*uids: str) -> Slice:
    endpoints = tuple(
        SliceEndpoint(f"10.0.0.{i + 1}", pod=("demo", f"pod-{uid}"), pod_uid=uid) for i, uid in enumerate(uids)
    )
    return Slice("demo", "voting-1", "voting", "IPv4", (SlicePort("grpc", 8080),), endpoints)


def make_pod(uid: str, host: int) -> Pod:
    return Pod("demo", f"pod-{uid}", uid, (f"10.0.0.{host}",))


class Played:
    """A state whose source is the test."""

    def __init__(self) -> None:
        self.synced = True
        self.woken: list[Stream] = []
        self.failures: list[BaseException] = []
        self.state = State("cluster.local", lambda: self.synced, self.wake, self.failures.append)

    def wake(self, streams: Collection[Stream]) -> None:
        self.woken += streams

    def start(self, *pods: Pod, uids: tuple[str, ...] = ()) -> None:
        self.state.take([Relist(SERVICES, (SERVICE,)), Relist(SLICES, (make_slice(*uids),)), Relist(PODS, tuple(pods))])

    def hosts(self) -> list[str]:
        target = self.state.mesh.targets.get(TARGET)
        return [endpoint.host for endpoint in target.endpoints] if target else []

    async def until_hosts(self, *hosts: str) -> None:
        async with asyncio.timeout(20):
            while self.hosts() != list(hosts):  # noqa: ASYNC110 - what is waited for owes no event to tests
                await asyncio.sleep(0.005)


@pytest.fixture
async def played():  # type: ignore[no-untyped-def]
    played = Played()
    yield played
    played.state.close()


async def test_a_change_wakes_the_streams_that_it_concerns(played: Played) -> None:
    played.start(make_pod("1", 1), uids=("1",))
    await asyncio.wait_for(played.state.synced.wait(), 20)
    exchange = played.state.exchange
    client, other = DeltaClient(exchange), DeltaClient(exchange)  # type: ignore[arg-type]
    client.send(EDS, [TARGET])
    client.settle()
    other.send(EDS, ["elsewhere.demo.svc.cluster.local:1"])
    other.settle()
    played.state.take([Change(PODS, ("demo", "pod-2"), make_pod("2", 2))])
    played.state.take([Change(SLICES, ("demo", "voting-1"), make_slice("1", "2"))])
    await played.until_hosts("10.0.0.1", "10.0.0.2")
    assert played.woken == [client.stream]
    assert [reply.names for reply in client.settle()] == [[TARGET]]


async def test_events_that_come_together_are_worked_out_together(played: Played) -> None:
    for i in range(1, 4):
        played.start(make_pod("1", i), uids=("1",))
    turn = played.state._turn
    assert turn is not None
    played.state.schedule()
    assert played.state._turn is turn


async def test_nothing_is_worked_out_before_the_source_is_synced(played: Played) -> None:
    played.synced = False
    played.start(make_pod("1", 1), uids=("1",))
    await asyncio.sleep(0.1)
    assert not played.state.synced.is_set()
    assert played.hosts() == []
    assert played.state._pending == [], "but what comes is taken up, so that nothing piles up"
    played.synced = True
    played.state.schedule()
    await asyncio.wait_for(played.state.synced.wait(), 20)
    assert played.hosts() == ["10.0.0.1"]


async def test_an_endpoint_waits_for_its_pod_a_second_at_most(played: Played) -> None:
    began = asyncio.get_running_loop().time()
    played.start(make_pod("1", 1), uids=("1", "unseen"))
    await asyncio.wait_for(played.state.synced.wait(), 20)
    assert played.hosts() == ["10.0.0.1"]
    await played.until_hosts("10.0.0.1", "10.0.0.2")
    assert asyncio.get_running_loop().time() - began >= WITHHELD_S
    played.state.take([Change(SERVICES, ("demo", "other"), replace(SERVICE, name="other"))])
    async with asyncio.timeout(20):
        while "other.demo.svc.cluster.local:8080" not in played.state.mesh.targets:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert played.hosts() == ["10.0.0.1", "10.0.0.2"], "what was published is not withheld again"


async def test_a_pod_that_is_seen_ends_the_wait(played: Played) -> None:
    played.start(uids=("1",))
    await asyncio.wait_for(played.state.synced.wait(), 20)
    assert played.hosts() == []
    played.state.take([Change(PODS, ("demo", "pod-1"), make_pod("1", 1))])
    await played.until_hosts("10.0.0.1")
    assert played.state._waiting_since == {}


async def test_after_a_fault_all_is_worked_out_from_scratch(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    played.start(make_pod("1", 1), uids=("1",))
    await asyncio.wait_for(played.state.synced.wait(), 20)
    client = DeltaClient(played.state.exchange)  # type: ignore[arg-type]
    client.send(EDS, [TARGET])
    client.settle()
    del played.state.graph._index
    played.state.take([Change(SLICES, ("demo", "voting-1"), make_slice())])
    await played.until_hosts()
    assert played.failures == []
    assert [reply.names for reply in client.settle()] == [[TARGET]]
    assert "worked out from scratch" in capsys.readouterr().err


async def test_what_is_gone_after_a_fault_is_told_too(played: Played) -> None:
    played.start(make_pod("1", 1), uids=("1",))
    await asyncio.wait_for(played.state.synced.wait(), 20)
    client = DeltaClient(played.state.exchange)  # type: ignore[arg-type]
    client.send(EDS, [TARGET])
    client.settle()
    del played.state.graph._index
    played.state.take([Change(SERVICES, ("demo", "voting"), None)])
    async with asyncio.timeout(20):
        while TARGET in played.state.mesh.targets:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert [reply.removed for reply in client.settle()] == [[TARGET]]


async def test_a_fault_that_stays_is_reported(played: Played, capsys: pytest.CaptureFixture[str]) -> None:
    played.start()
    await asyncio.wait_for(played.state.synced.wait(), 20)
    played.state.take([Change(SERVICES, ("demo", "voting"), make_pod("1", 1))])  # no Service at all
    async with asyncio.timeout(20):
        while not played.failures:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert isinstance(played.failures[0], AttributeError)
    assert "bug:" in capsys.readouterr().err


async def test_scratch_is_the_same_as_before(played: Played) -> None:
    played.start(make_pod("1", 1), uids=("1",))
    await asyncio.wait_for(played.state.synced.wait(), 20)
    before = played.state.mesh
    assert isinstance(played.state.graph, Graph)
    played.state._start_over()
    assert played.state.mesh == before


async def test_what_is_due_now_does_not_wait_for_what_was_put_off(played: Played) -> None:
    """Envoys of three namespaces have their routes looked up one after the other, and a large answer waits for long."""
    played.start(make_pod("a", 1), make_pod("b", 2), uids=("a",))
    await played.until_hosts("10.0.0.1")
    exchange = played.state.exchange
    exchange.interests.bytes_per_s = 1e-3
    sidecar = DeltaClient(exchange)
    sidecar.send(EDS, [TARGET])
    sidecar.settle()
    for uids in (("a", "b"), ("b",)):
        played.state.take([Change(SLICES, ("demo", "voting-1"), make_slice(*uids))])
        await played.until_hosts(*[f"10.0.0.{i + 1}" for i, _ in enumerate(uids)])
    assert exchange.next_release is not None
    envoys = [DeltaClient(exchange, Node(id=f"envoy.{name}", user_agent_name="envoy")) for name in "abc"]
    for envoy in envoys:
        envoy.send(RDS, ["outbound"])
        envoy.settle()
    played.woken.clear()
    played.state.take([Change(SERVICES, ("demo", "more"), replace(SERVICE, name="more"))])
    async with asyncio.timeout(20):
        while not {envoy.stream for envoy in envoys} <= set(played.woken):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
    assert sidecar.stream not in played.woken
