"""Who is given up, and after how long; with packets that are really lost, in tests/e2e/test_patience."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest

from proxy.net.kernel import Answer
from proxy.net.patience import LOOK_PART, Patience, end_gone, give_up, is_open, read_silence

SINCE_S, NOW = 100.0, 110.0


@pytest.mark.parametrize(
    ("answer", "since_s"),
    [
        (Answer(True, 2, 10.0), SINCE_S),
        (Answer(True, 9, 500.0), SINCE_S),
        # One reminder may get no answer from a peer that is alive.
        (Answer(True, 1, 500.0), NOW),
        (Answer(True, 0, 500.0), NOW),
        # It was heard of meanwhile, and has been silent again since.
        (Answer(True, 2, 9.0), NOW),
    ],
)
def test_only_reminders_without_any_answer_count(answer: Answer, since_s: float) -> None:
    assert read_silence(answer, SINCE_S, NOW) == since_s


def test_a_look_is_due_now_and_then() -> None:
    patience: Patience[int] = Patience(20.0)
    assert patience.is_due(NOW)
    assert not patience.is_due(NOW + 20.0 * LOOK_PART - 0.1)
    assert patience.is_due(NOW + 20.0 * LOOK_PART)


def fill(sock: socket.socket) -> None:
    """Until the kernel takes no more."""
    sock.setblocking(False)
    try:
        while True:
            sock.send(bytes(100_000))
    except BlockingIOError:
        return


def test_a_peer_that_does_not_read_is_owing_and_not_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as sock:
        reader, _ = listening.accept()
        with reader:
            patience: Patience[str] = Patience(0.0)
            assert not patience.is_gone("idle", sock.fileno(), NOW)
            assert patience.owing == {}
            fill(sock)
            patience.timeout_s = 1.0
            for seconds in range(10):
                patience.begin()
                assert not patience.is_gone("shut", sock.fileno(), NOW + seconds)
                assert patience.owing == {"shut": NOW + seconds}


class Witness(asyncio.Protocol):
    """What an adapter is to `patience`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


async def test_who_is_given_up_is_told_why_and_the_peer_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport, witness = await asyncio.get_running_loop().create_connection(Witness, *listening.getsockname())
        peer, _ = listening.accept()
        with peer:
            give_up(witness)
            lost = await witness.lost
            assert isinstance(lost, OSError)
            assert lost.errno == errno.ETIMEDOUT
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(peer.recv, 1)
    assert transport.is_closing()


async def test_only_those_in_doubt_are_asked_about() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        transport, witness = await asyncio.get_running_loop().create_connection(Witness, *listening.getsockname())
        peer, _ = listening.accept()
        with peer:
            transport.write(bytes(30_000_000))
            patience: Patience[Witness] = Patience(1.0)
            await end_gone(patience, [witness], lambda one: False, NOW)
            assert patience.owing == {}
            await end_gone(patience, [witness], lambda one: True, NOW + 1)
            assert patience.owing == {witness: NOW + 1}
            # Until it is owed nothing it is asked about, whatever it has done meanwhile; while it closes, too.
            transport.close()
            assert is_open(transport)
            await end_gone(patience, [witness], lambda one: False, NOW + 2)
            assert patience.owing == {witness: NOW + 2}
            transport.abort()
            await witness.lost
            witness.transport = None
            assert not is_open(witness.transport)
            await end_gone(patience, [witness], lambda one: True, NOW + 3)
            assert patience.owing == {}
