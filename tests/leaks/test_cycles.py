"""No request, however it ends, leaves a garbage cycle or anything that stays: the collector has nothing to do."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.playbook.stage import Stage, Wire
from tests.playbook.voice import GET_REQUEST, GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE

REQUESTS = 1_000
NOBODY = [*GRPC_REQUEST[:3], (":authority", "nobody"), *GRPC_REQUEST[4:]]


def answer(stage: Stage, down: Wire, stream_id: int) -> None:
    up, there = stage.where(down, stream_id)
    voice = up.voice
    up.feed(voice.headers(there, GRPC_RESPONSE) + voice.data(there, b"x") + voice.headers(there, GRPC_OK, end=True))


def unary(stage: Stage, down: Wire) -> None:
    answer(stage, down, stage.request(down, body=b"question"))


def streaming(stage: Stage, down: Wire) -> None:
    one = stage.request(down, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE))
    for _ in range(3):
        down.feed(down.voice.data(one, b"q" * 100))
        up.feed(up.voice.data(there, b"a" * 100))
    down.feed(down.voice.data(one, b"", end=True))
    up.feed(up.voice.headers(there, GRPC_OK, end=True))


def queued(stage: Stage, down: Wire) -> None:
    """The response waits for a window when the endpoint has long finished."""
    down.feed(down.voice.settings({4: 0}))
    one = stage.request(down)
    answer(stage, down, one)
    down.feed(down.voice.settings({4: 65_535}))
    assert one in down.voice.ended


def cancelled(stage: Stage, down: Wire) -> None:
    one = stage.request(down, [*GRPC_REQUEST, ("grpc-timeout", "1m")], end=False)
    stage.now += 0.1
    down.feed(down.voice.rst(one))


def reset(stage: Stage, down: Wire) -> None:
    one = stage.request(down, GET_REQUEST, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.rst(there, 2))


def malformed(stage: Stage, down: Wire) -> None:
    one = stage.request(down, GET_REQUEST)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [(":status", "200"), ("connection", "close")]))
    assert one in down.voice.ended


def refused(stage: Stage, down: Wire) -> None:
    one = stage.request(down, body=b"body")
    for _ in range(2):
        up, there = stage.where(down, one)
        up.feed(up.voice.rst(there, 7))
    assert one in down.voice.ended


def replayed(stage: Stage, down: Wire) -> None:
    one = stage.request(down, body=b"body")
    up, there = stage.where(down, one)
    up.feed(up.voice.rst(there, 7))
    answer(stage, down, one)


def failed(stage: Stage, down: Wire) -> None:
    assert stage.request(down, NOBODY, body=b"body", end=False) in down.voice.ended


def lost(stage: Stage, down: Wire) -> None:
    """The endpoint goes with the request, and comes back."""
    one = stage.request(down, end=False)
    stage.where(down, one)[0].hang_up()
    assert one in down.voice.ended
    stage.connect_all()


def left(stage: Stage, down: Wire) -> None:
    """The client goes with the request."""
    other = stage.client()
    stage.request(other, end=False)
    other.hang_up()


def timed_out(stage: Stage, down: Wire) -> None:
    stage.timeout_s = 0.1
    stage.relay.forget_decisions()
    one = stage.request(down, end=False)
    stage.advance(0.2)
    assert one in down.voice.ended


KINDS: list[Callable[[Stage, Wire], None]] = [
    *(unary, streaming, queued, cancelled, reset, malformed, refused, replayed, failed, lost, left, timed_out)
]


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Garbage cycles stay until a test looks for them."""
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


# A connection and its wire know each other, here as with a real socket: such a cycle is one per connection.
OF_A_CONNECTION = {"Downstream", "Upstream", "FloodGuard", "HeaderReader", "Decoder", "Field", "HeaderBlock"}


def is_ours(thing: object) -> bool:
    return str(getattr(type(thing), "__module__", "")).startswith("proxy.")


def is_of_a_request(thing: object) -> bool:
    return is_ours(thing) and type(thing).__name__ not in OF_A_CONNECTION


def count_ours() -> Counter[str]:
    """What the collector tracks; the connections that ended are not collected yet, so they do not count."""
    return Counter(type(thing).__name__ for thing in gc.get_objects() if is_of_a_request(thing))


def run(stage: Stage, down: Wire, kind: Callable[[Stage, Wire], None], times: int) -> None:
    for _ in range(times):
        kind(stage, down)
        stage.now += 0.01
        for wire in [*stage.downs, *stage.ups]:
            wire.voice.heard.clear()
            if not wire.lost and wire.voice.conn_window < 10_000:
                wire.feed(wire.voice.window(0, 50_000))
        stage.downs = [wire for wire in stage.downs if not wire.lost]
        stage.ups = [wire for wire in stage.ups if not wire.lost]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_request_leaves_nothing(kind: Callable[[Stage, Wire], None]) -> None:
    stage = Stage(2)
    stage.connect_all()
    down = stage.client()
    run(stage, down, kind, 100)
    gc.collect()
    before = count_ours()
    run(stage, down, kind, REQUESTS)
    after = count_ours()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    is_judged = is_of_a_request if kind in (lost, left) else is_ours
    assert Counter(type(thing).__name__ for thing in gc.garbage if is_judged(thing)) == {}
    assert after == before
    stage.check_idle()
    for wire in [*stage.downs, *stage.ups]:
        assert not wire.lost
        assert len(getattr(wire.conn, "limbo", None) or ()) <= 1_000
        assert not wire.conn.out
    stage.finish()
