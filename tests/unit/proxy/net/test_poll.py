"""The poller: who is called, who is not any more, and what a faulty callback costs."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest
import uvloop

from proxy.net.poll import Poller

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    made: asyncio.AbstractEventLoop = request.param()
    yield made
    made.close()


@pytest.fixture
def poller(loop: asyncio.AbstractEventLoop) -> Iterator[Poller]:
    made = Poller(loop)
    yield made
    made.close()


@pytest.fixture
def pairs() -> Iterator[Callable[[], Pair]]:
    opened: list[socket.socket] = []

    def make() -> Pair:
        """A TCP connection's two ends."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            server, _ = listening.accept()
        server.setblocking(False)
        opened.extend((client, server))
        return client, server

    yield make
    for sock in opened:
        sock.close()


def turn(loop: asyncio.AbstractEventLoop, count: int = 20) -> None:
    async def run() -> None:
        for _ in range(count):
            await asyncio.sleep(0.001)

    loop.run_until_complete(run())


def test_readers_and_writers(loop: asyncio.AbstractEventLoop, poller: Poller, pairs: Callable[[], Pair]) -> None:
    client, server = pairs()
    said = []
    poller.add_reader(server.fileno(), lambda who: said.append((who, server.recv(10))), "reader")
    turn(loop)
    assert said == []
    client.send(b"x")
    turn(loop)
    assert said == [("reader", b"x")]
    poller.add_writer(server.fileno(), lambda: (said.append("writer"), poller.remove_writer(server.fileno())))
    turn(loop)
    assert said == [("reader", b"x"), "writer"]
    client.send(b"y")
    turn(loop)
    assert said[2:] == [("reader", b"y")]
    poller.remove_reader(server.fileno())
    poller.remove_reader(server.fileno())
    client.send(b"z")
    turn(loop)
    assert len(said) == 3


def test_the_latest_callback_counts(loop: asyncio.AbstractEventLoop, poller: Poller, pairs: Callable[[], Pair]) -> None:
    client, server = pairs()
    said = []
    poller.add_reader(server.fileno(), said.append, "old")
    poller.add_reader(server.fileno(), lambda: said.append(server.recv(10)))
    client.send(b"x")
    turn(loop)
    assert said == [b"x"]


def test_bytes_before_a_reset_are_read(
    loop: asyncio.AbstractEventLoop, poller: Poller, pairs: Callable[[], Pair]
) -> None:
    """Where uvloop's own add_reader calls once, and never again."""
    client, server = pairs()
    client.send(bytes(10))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    said: list[object] = []

    def read() -> None:
        try:
            said.append(len(server.recv(4)))
        except ConnectionResetError:
            said.append("reset")
            poller.remove_reader(server.fileno())

    poller.add_reader(server.fileno(), read)
    turn(loop)
    assert said == [4, 4, 2, "reset"]


def test_who_says_little_is_served_before_those_who_send_much_and_before_those_who_go(
    loop: asyncio.AbstractEventLoop, poller: Poller, pairs: Callable[[], Pair]
) -> None:
    said: list[str] = []

    def take(who: str, server: socket.socket, size: int) -> int:
        said.append(who)
        if who == "bulk":
            time.sleep(0.0003)
        if not server.recv(size):
            poller.remove_reader(server.fileno())
        return 32 * 1024 if who == "bulk" else size

    bulk, gone, late = [pairs() for _ in range(5)], [pairs() for _ in range(5)], pairs()
    for name, found in (("bulk", bulk), ("gone", gone), ("late", [late])):
        for _, server in found:
            poller.add_reader(server.fileno(), take, name, server, 1)
    for client, _ in bulk:
        client.send(bytes(50))
    turn(loop)
    for client, _ in gone:
        client.close()
    late[0].send(b"x")
    said.clear()
    poller._dispatch()
    assert said[0] == "late"
    turn(loop)
    assert said.count("late") == 1
    assert said.count("gone") == 5
    assert said.index("gone") < len(said) - 1 - said[::-1].index("bulk")


def test_what_was_moved_is_soon_forgotten_whose_number_another_may_have(
    loop: asyncio.AbstractEventLoop, poller: Poller, pairs: Callable[[], Pair]
) -> None:
    client, server = pairs()

    def take() -> int:
        server.recv(100)
        return 1 << 30

    poller.add_reader(server.fileno(), take)
    client.send(b"x")
    turn(loop)
    assert server.fileno() in poller._taken
    time.sleep(0.11)
    poller._dispatch()
    time.sleep(0.11)
    poller._dispatch()
    assert poller._taken[server.fileno()] < 32 * 1024


@pytest.mark.parametrize("ends", [False, True])
def test_who_was_fetched_is_served_though_nothing_else_happens(
    loop: asyncio.AbstractEventLoop, poller: Poller, pairs: Callable[[], Pair], ends: bool
) -> None:
    """More than a turn serves."""
    found, served = [pairs() for _ in range(50)], []

    def take(server: socket.socket) -> None:
        served.append(server.recv(10))
        if not served[-1]:
            poller.remove_reader(server.fileno())

    for client, server in found:
        poller.add_reader(server.fileno(), take, server)
        client.close() if ends else client.send(b"x")
    turn(loop)
    assert served == [b"" if ends else b"x"] * 50


def test_bytes_before_an_end_are_read_however_many_turns_that_takes(
    loop: asyncio.AbstractEventLoop, poller: Poller, pairs: Callable[[], Pair]
) -> None:
    """An end is told once, and again as long as it was not seen."""
    client, server = pairs()
    client.send(bytes(10))
    client.close()
    sizes: list[int] = []

    def read() -> None:
        sizes.append(len(server.recv(4)))
        if not sizes[-1]:
            poller.remove_reader(server.fileno())

    poller.add_reader(server.fileno(), read)
    turn(loop)
    assert sizes == [4, 4, 2, 0]


def test_a_number_that_is_used_again_gets_no_old_event(
    loop: asyncio.AbstractEventLoop, poller: Poller, pairs: Callable[[], Pair]
) -> None:
    """Two sockets are ready at once; the first callback closes the other socket and opens one with its number."""
    first, second, quiet = pairs(), pairs(), pairs()
    calls: list[str] = []

    def replace(me: socket.socket, other: socket.socket) -> None:
        calls.append("replace")
        me.recv(10)
        poller.remove_reader(other.fileno())
        os.dup2(quiet[1].fileno(), other.fileno())
        poller.add_reader(other.fileno(), calls.append, "stale")

    poller.add_reader(first[1].fileno(), replace, first[1], second[1])
    poller.add_reader(second[1].fileno(), replace, second[1], first[1])
    first[0].send(b"x")
    second[0].send(b"x")
    turn(loop)
    assert calls == ["replace"]


def test_a_faulty_callback_is_called_once(
    loop: asyncio.AbstractEventLoop,
    poller: Poller,
    pairs: Callable[[], Pair],
    capfd: pytest.CaptureFixture[str],
) -> None:
    client, server = pairs()
    other_client, other_server = pairs()
    said = []
    poller.add_reader(server.fileno(), lambda: 1 // 0)
    poller.add_reader(other_server.fileno(), lambda: said.append(other_server.recv(1)))
    client.send(b"x")
    turn(loop)
    other_client.send(b"x")
    turn(loop)
    assert said == [b"x"]
    assert capfd.readouterr().err.count("bug: ") == 1
