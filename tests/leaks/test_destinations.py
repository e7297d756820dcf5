"""Requests that wait to hear of their destination leave neither a cycle nor anything that stays, however they end."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.playbook.mesh import MeshStage, answer, to
from tests.playbook.stage import Wire

REQUESTS = 500


def arrived(stage: MeshStage, down: Wire, name: str) -> None:
    """A name of the Service whose cluster is there for another one, then dropped again."""
    one = stage.call(down, name)
    stage.control.tell(name, 1, cluster="svc")
    answer(stage, down, one)
    stage.control.forget(name)


def denied(stage: MeshStage, down: Wire, name: str) -> None:
    one = stage.call(down, name, body=b"x")
    stage.control.deny(name)
    assert one in down.voice.ended
    stage.control.missing.clear()


def cancelled(stage: MeshStage, down: Wire, name: str) -> None:
    """By a client whose deadline ran out, which may be as often as it likes."""
    one = stage.request(down, [*to(name), ("grpc-timeout", "50m")], end=False)
    stage.advance(0.1)
    down.feed(down.voice.rst(one))
    stage.control.forget(name)


def unanswered(stage: MeshStage, down: Wire, name: str) -> None:
    one = stage.call(down, name, end=False)
    stage.advance(0.3)
    assert one in down.voice.ended
    stage.control.forget(name)


def changed(stage: MeshStage, down: Wire, name: str) -> None:
    """The endpoints change back and forth under a request."""
    one = stage.call(down, "web:80")
    stage.control.tell("web:80", 1, cluster="svc")
    answer(stage, down, one)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Garbage cycles stay until a test looks for them."""
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def is_ours(thing: object) -> bool:
    return str(getattr(type(thing), "__module__", "")).startswith("proxy.")


def count_ours() -> Counter[str]:
    return Counter(type(thing).__name__ for thing in gc.get_objects() if is_ours(thing))


def run(stage: MeshStage, down: Wire, kind: Callable[[MeshStage, Wire, str], None], first: int) -> None:
    for number in range(first, first + REQUESTS):
        # Few names, since the metrics keep an authority for ten minutes.
        kind(stage, down, f"name-{number % 20}:80")
        stage.control.wanted.clear()
        for wire in (down, *stage.ups):
            wire.voice.heard.clear()
            if wire.voice.conn_window < 10_000:
                wire.feed(wire.voice.window(0, 50_000))


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("kind", [arrived, denied, cancelled, unanswered, changed], ids=lambda kind: kind.__name__)
def test_waiting_leaves_nothing(kind: Callable[[MeshStage, Wire, str], None]) -> None:
    stage = MeshStage()
    stage.control.tell("web:80", 1, cluster="svc")
    stage.connect_all()
    down = stage.client()
    run(stage, down, kind, 0)
    gc.collect()
    before = count_ours()
    run(stage, down, kind, REQUESTS)
    after = count_ours()
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    assert Counter(type(thing).__name__ for thing in gc.garbage if is_ours(thing)) == {}
    assert after == before
    assert not down.lost
    stage.finish()
