"""Several sockets at one address: who comes from one place comes by one of them, and nobody else can join."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.net import shards
from proxy.net.shards import SHARDS, listen_in_shards

ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
BACKLOG = 8


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def make_socket(stack: ExitStack, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    sock = stack.enter_context(socket.socket(family))
    sock.settimeout(5)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def listen(stack: ExitStack, family: socket.AddressFamily = socket.AF_INET) -> list[socket.socket]:
    first = make_socket(stack, family)
    first.bind((ANY[family], 0))
    return listen_in_shards(first, lambda: make_socket(stack, family), BACKLOG)


def call(stack: ExitStack, listening: list[socket.socket], source: str) -> int:
    """By which of the sockets a connection from there comes."""
    client = make_socket(stack, listening[0].family)
    client.bind((source, 0))
    client.connect((source, listening[0].getsockname()[1]))
    for number, sock in enumerate(listening):
        sock.setblocking(False)
        try:
            stack.enter_context(sock.accept()[0])
        except BlockingIOError:
            continue
        return number
    raise AssertionError("nobody has it")


def test_who_comes_from_one_address_comes_by_one_socket(stack: ExitStack) -> None:
    listening = listen(stack)
    assert len(listening) == SHARDS
    came = {source: call(stack, listening, source) for source in (f"127.0.0.{last}" for last in range(1, 33))}
    assert came == {source: call(stack, listening, source) for source in came}
    assert set(came.values()) == set(range(SHARDS))


def test_over_ipv6_too(stack: ExitStack) -> None:
    listening = listen(stack, socket.AF_INET6)
    assert len(listening) == SHARDS
    assert call(stack, listening, "::1") == call(stack, listening, "::1")


def test_a_flood_keeps_nobody_out_who_comes_from_elsewhere(stack: ExitStack) -> None:
    listening = listen(stack)
    address = ("127.0.0.1", listening[0].getsockname()[1])
    for _ in range(4 * BACKLOG):
        client = make_socket(stack)
        client.setblocking(False)
        client.bind(("127.0.0.2", 0))
        client.connect_ex(address)
    client = make_socket(stack)
    client.bind(("127.0.0.3", 0))
    client.connect(address)  # a full queue would drop its SYN, and it be sent again after a second


def test_nobody_else_gets_the_port(stack: ExitStack) -> None:
    """Another sidecar, as it begins: before it may share a port, it must have one."""
    port = listen(stack)[0].getsockname()[1]
    other = make_socket(stack)
    with pytest.raises(OSError, match="in use"):
        other.bind(("0.0.0.0", port))


@pytest.mark.parametrize(("name", "value"), [("_ATTACH_REUSEPORT_CBPF", 9_999), ("_IS_LINUX", False)])
def test_where_that_is_not_known_one_socket_has_all(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, name: str, value: int
) -> None:
    monkeypatch.setattr(shards, name, value)
    listening = listen(stack)
    assert len(listening) == 1
    assert call(stack, listening, "127.0.0.9") == 0
