"""Raw connections and undecided ones: where there is no room for more, and where too much waits for some of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.codec.detect import OPAQUE
from proxy.net.relief import HOLDS_TOO_MUCH
from proxy.net.room import TOO_MANY, Room
from proxy.outbound import OutboundTally
from proxy.route.hints import Expectation
from tests.e2e.opaque_stage import OpaqueStage, Server, echo
from tests.e2e.processes import eventually

KNOWN = Expectation(OPAQUE)


def join(stage: OpaqueStage) -> Room:
    """What the composition of a direction does."""
    room = Room(OutboundTally(stage.sidecar.registry))
    for kind in (stage.sidecar.relay, stage.sidecar.detector):
        room.join(kind)
    stage.sidecar.acceptor.room = room
    return room


def count_faults(stage: OpaqueStage, reason: str) -> float:
    return stage.metric(f"gossamer_protocol_faults_total{{reason={reason},side=downstream}}")


def wait_for(stage: OpaqueStage, count: int) -> None:
    eventually(lambda: stage.call(stage.sidecar.detector.count) == count, "the accept")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def test_the_mute_go_before_those_who_spoke_and_the_busy_stay(stack: ExitStack) -> None:
    server = stack.enter_context(Server(echo))
    stage = stack.enter_context(OpaqueStage([server.address], expectation=KNOWN))
    room = stage.call(lambda: join(stage))
    busy, mute = stack.enter_context(stage.connect()), stack.enter_context(stage.connect())
    busy.sendall(b"x")
    assert busy.recv(1) == b"x"
    eventually(lambda: stage.metric("tcp_open_connections{peer=dst}") == 2, "both of the server's connections")
    room.max_descriptors = 4
    late = stack.enter_context(stage.connect())
    with pytest.raises(ConnectionResetError):
        mute.recv(1)
    late.sendall(b"y")
    assert late.recv(1) == b"y"
    # Now both have just been of use, so it is the newcomer who goes.
    another = stack.enter_context(stage.connect())
    assert another.recv(1) == b""
    busy.sendall(b"x")
    assert busy.recv(1) == b"x"
    assert count_faults(stage, TOO_MANY) == 2


def test_who_is_idle_for_long_goes(stack: ExitStack) -> None:
    server = stack.enter_context(Server(echo))
    stage = stack.enter_context(OpaqueStage([server.address], expectation=KNOWN))
    room = stage.call(lambda: join(stage))
    clients = [stack.enter_context(stage.connect()) for _ in range(2)]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"

    async def age() -> None:
        """As if the sweep had seen nothing of the first one for long."""
        relay = stage.sidecar.relay
        await relay.sweep(relay.next_look_s)
        by_port = {conn.downstream.getpeername()[1]: conn for conn in relay.connections}
        by_port[clients[0].getsockname()[1]].active_s -= 60.0
        room.max_descriptors = 4

    stage.wait(age())
    late = stack.enter_context(stage.connect())
    with pytest.raises(ConnectionResetError):
        clients[0].recv(1)
    for client in (clients[1], late):
        client.sendall(b"y")
        assert client.recv(1) == b"y"


def test_the_oldest_undecided_one_goes(stack: ExitStack) -> None:
    stage = stack.enter_context(OpaqueStage([]))
    room = stage.call(lambda: join(stage))
    room.max_connections = 3
    clients = []
    for number in range(5):
        clients.append(stack.enter_context(stage.connect()))
        wait_for(stage, min(number + 1, 3))
    assert clients[0].recv(1) == clients[1].recv(1) == b""
    assert count_faults(stage, TOO_MANY) == 2


def test_what_waits_for_those_who_do_not_read_is_bounded(stack: ExitStack) -> None:
    """Each holds at most a turn; here together no more than one may."""
    done = threading.Event()
    server = stack.enter_context(Server(lambda sock: done.wait(30)))
    stack.callback(done.set)
    stage = stack.enter_context(OpaqueStage([server.address], expectation=KNOWN))
    room = stage.call(lambda: join(stage))
    relay = stage.sidecar.relay
    for _ in range(3):
        fill(stack.enter_context(stage.connect()))
    eventually(lambda: stage.call(lambda: len(list(relay.find_held()))) == 3, "all to wait")
    stage.wait(room.relieve())
    assert stage.open_connections() == 3
    room.max_held_bytes = stage.call(lambda: sum(size for size, _ in relay.find_held())) - 1
    stage.wait(room.relieve())
    assert stage.open_connections() == 2
    assert count_faults(stage, HOLDS_TOO_MUCH) == 1


def fill(sock: socket.socket) -> None:
    """Send until nobody takes any more."""
    sock.settimeout(0.5)
    try:
        while True:
            sock.sendall(bytes(100_000))
    except TimeoutError:
        return
