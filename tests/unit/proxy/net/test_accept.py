"""Accepting what was led here: whose turn it is, and that nobody is lost."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager

import pytest

from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.registry import Registry
from proxy.net import accept
from proxy.net.accept import Acceptor, find_source
from proxy.net.room import Room
from proxy.net.turns import SHARE_S
from proxy.outbound import OutboundTally
from proxy.route.hints import Address
from tests.e2e.processes import HOST

FLOOD, OTHER = "127.0.0.2", "127.0.0.3"


class Door:
    """An acceptor on loopback, for whose connections it takes `took_s` each; `came` is where they came from."""

    def __init__(self, took_s: float = 0.0, room: Room | None = None) -> None:
        self.came: list[str] = []
        self.took_s = took_s
        self.acceptor = Acceptor("inbound", self.arrived, ConnectionCounts(Registry()), 20.0, room)
        self.address = self.acceptor.listen(HOST, 0)

    def arrived(self, sock: socket.socket, original: Address | None) -> None:
        assert original is None
        self.came.append(sock.getpeername()[0])
        sock.close()
        time.sleep(self.took_s)

    async def wait_for(self, count: int) -> int:
        """Until so many have come; how many waited meanwhile, at most."""
        until_s = time.monotonic() + 20
        most = 0
        while len(self.came) < count:
            assert time.monotonic() < until_s
            await asyncio.sleep(0)
            most = max(most, self.acceptor.waiting)
        return most


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@asynccontextmanager
async def opened(took_s: float = 0.0, room: Room | None = None) -> AsyncIterator[Door]:
    door = Door(took_s, room)
    try:
        yield door
    finally:
        await door.acceptor.close()


def call(clients: ExitStack, door: Door, source: str, count: int) -> None:
    for _ in range(count):
        clients.enter_context(socket.create_connection(door.address, source_address=(source, 0)))


async def test_who_comes_alone_does_not_wait_for_a_flood_from_elsewhere(clients: ExitStack) -> None:
    async with opened(SHARE_S) as door:
        call(clients, door, FLOOD, 100)
        await door.wait_for(1)
        call(clients, door, OTHER, 1)
        await door.wait_for(101)
        # Unless this machine accepts fewer than two while one is served, all are there long before half of them are.
        assert door.came.index(OTHER) < 50


async def test_a_flood_of_many_destinations_is_one_flood(clients: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = iter(range(1, 1_000))
    monkeypatch.setattr(accept, "read_original", lambda sock: ("10.0.0.1", next(ports)))
    async with opened(SHARE_S) as door:
        monkeypatch.setattr(door.acceptor, "arrived", lambda sock, original: door.arrived(sock, None))
        call(clients, door, FLOOD, 100)
        await door.wait_for(1)
        call(clients, door, OTHER, 1)
        await door.wait_for(101)
        assert door.came.index(OTHER) < 50


def test_whose_addresses_are_one_source() -> None:
    assert find_source("10.0.0.1") != find_source("10.0.0.2")
    assert find_source("2001:db8::1") == find_source("2001:db8::ffff:1") != find_source("2001:db8:0:1::1")
    assert find_source("fe80::1%eth0") == find_source("fe80::2%eth1")


async def test_nobody_is_lost_where_all_come_at_once(clients: ExitStack) -> None:
    async with opened() as door:
        call(clients, door, FLOOD, 200)
        call(clients, door, OTHER, 200)
        await door.wait_for(400)
        assert door.came.count(FLOOD) == door.came.count(OTHER) == 200
        assert door.acceptor.waiting == 0


async def test_those_for_whom_there_is_no_place_wait_in_the_kernel(
    clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_MAX_ARRIVALS", 10)
    async with opened(SHARE_S) as door:
        call(clients, door, FLOOD, 40)
        assert await door.wait_for(40) == 8


@pytest.mark.parametrize(("descriptors", "most"), [(8, 4), (20, 8), (100, 40)])
async def test_how_many_may_wait_goes_by_the_room(clients: ExitStack, descriptors: int, most: int) -> None:
    """Half of it, and of that four fifths for one queue; four in any case."""
    room = Room(OutboundTally(Registry()))
    room.max_descriptors = descriptors
    async with opened(SHARE_S, room) as door:
        call(clients, door, FLOOD, 60)
        assert await door.wait_for(60) == most


async def test_who_has_come_is_served_though_nobody_listens_any_more(clients: ExitStack) -> None:
    door = Door(SHARE_S)
    call(clients, door, FLOOD, 50)
    await door.acceptor.close()
    await door.wait_for(50)


async def test_who_has_come_is_accepted_at_the_end_though_there_is_no_place(
    clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_MAX_ARRIVALS", 4)
    door = Door(4 * SHARE_S)
    call(clients, door, FLOOD, 300)
    await door.acceptor.close()
    await door.wait_for(300)
    assert door.acceptor.waiting == 0


async def test_who_waits_when_time_is_up_is_ended(clients: ExitStack) -> None:
    door = Door(0.01)
    call(clients, door, FLOOD, 50)
    await door.acceptor.close()
    served = len(door.came)
    assert door.acceptor.waiting == 50 - served > 0
    door.acceptor.drop()
    assert door.acceptor.waiting == 0
    await asyncio.sleep(0.05)
    assert len(door.came) == served


async def test_where_too_many_wait_there_is_one_place_for_each_queue(
    clients: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_MAX_ARRIVALS", 1)
    async with opened(SHARE_S) as door:
        call(clients, door, FLOOD, 20)
        call(clients, door, OTHER, 20)
        assert await door.wait_for(40) <= 4


async def test_a_bug_with_one_is_not_the_others(clients: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(sock: socket.socket, original: Address | None) -> None:
        raise RuntimeError("a bug")

    async with opened() as door:
        monkeypatch.setattr(door.acceptor, "arrived", fail)
        call(clients, door, FLOOD, 1)
        await asyncio.sleep(0.05)
        monkeypatch.setattr(door.acceptor, "arrived", door.arrived)
        call(clients, door, OTHER, 1)
        await door.wait_for(1)
        assert door.came == [OTHER]
