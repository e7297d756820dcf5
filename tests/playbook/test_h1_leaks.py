"""No HTTP/1 request, however it ends, leaves work for the garbage collector, or a trace where it waited."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from tests.playbook.h1_stage import GET, OK, POST, Stage, Wire

REQUESTS = 200


def plain(stage: Stage, client: Wire) -> None:
    client.send(GET)
    next(up for up in stage.ups if up.take()).send(OK)


def with_a_body(stage: Stage, client: Wire) -> None:
    client.send(POST[:-1], POST[-1:])
    next(up for up in stage.ups if up.take()).send(OK[:-1], OK[-1:])


def unrouted(stage: Stage, client: Wire) -> None:
    client.send(GET.replace(b"/ ", b"/nowhere "))


def retried(stage: Stage, client: Wire) -> None:
    plain(stage, client)
    client.send(GET)
    next(up for up in stage.ups if up.take()).lose()
    next(up for up in stage.ups if up.take()).send(OK)


def refused(stage: Stage, client: Wire) -> None:
    stage.client().send(b"GET / HTTP/2.0\r\n\r\n")


def given_up(stage: Stage, client: Wire) -> None:
    other = stage.client()
    other.send(GET)
    other.lose()


def timed_out(stage: Stage, client: Wire) -> None:
    stage.timeout_s = 0.2
    stage.relay.forget_decisions()
    client.send(GET)
    stage.wait(0.5)


@pytest.mark.parametrize("act", [plain, with_a_body, unrouted, retried, refused, given_up, timed_out])
def test_nothing_is_left(act: Callable[[Stage, Wire], None]) -> None:
    stage = Stage()
    client = stage.client()
    act(stage, client)
    gc.collect()
    gc.disable()
    try:
        for _ in range(REQUESTS):
            act(stage, client)
            for wires in (stage.ups, stage.downs):
                gone = [wire for wire in wires if wire.shut or wire.conn.closed]
                for wire in gone:
                    wire.conn.io = None  # as net does
                    wires.remove(wire)
        gone = wire = wires = None  # type: ignore[assignment]
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert len(stage.relay.decisions) <= 2
    stage.finish()
