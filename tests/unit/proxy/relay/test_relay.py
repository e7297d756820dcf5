from __future__ import annotations

from proxy.codec.h1_request import make_route_block
from proxy.relay.relay import TICK_S, Relay
from tests.playbook.h1_stage import Tally
from tests.playbook.stage import Stage
from tests.playbook.voice import GRPC_REQUEST


def test_decisions_are_kept_until_they_are_forgotten() -> None:
    stage = Stage(1)
    stage.connect_all()
    down = stage.client()
    asked: list[tuple[bytes, bytes]] = []
    route = stage.relay.route
    stage.relay.route = lambda authority, path: (asked.append((authority, path)), route(authority, path))[1]
    for _ in range(5):
        stage.request(down)
    assert asked == [(b"echo", b"/echo.Echo/Get")]
    stage.relay.forget_decisions()
    stage.request(down)
    assert len(asked) == 2
    other = stage.client()
    stage.request(other)
    assert len(asked) == 2
    stage.finish()


def test_the_latest_decision_is_that_of_its_authority_and_path_alone() -> None:
    asked: list[tuple[bytes, bytes]] = []
    relay = Relay(lambda authority, path: (asked.append((authority, path)), (None, 0.0))[1], lambda: 0.5, Tally())
    for authority, path in [(b"a", b"/"), (b"a", b"/"), (b"a", b"/b"), (b"", b""), (b"a", b"/"), (b"b", b"/")]:
        assert relay.decide(make_route_block(b"GET", authority, path)).authority == authority.decode()
    assert asked == [(b"a", b"/"), (b"a", b"/b"), (b"", b""), (b"b", b"/")]
    relay.decisions.clear()
    relay.decide(make_route_block(b"GET", b"b", b"/"))
    assert len(asked) == 4  # the latest is not looked up
    relay.forget_decisions()
    relay.decide(make_route_block(b"GET", b"b", b"/"))
    assert len(asked) == 5
    long = b"/" + b"x" * 2_000
    for _ in range(2):  # too long to be kept, so each is asked for
        relay.decide(make_route_block(b"GET", b"b", long))
    assert asked[5:] == [(b"b", long)] * 2


def test_decisions_are_bounded() -> None:
    stage = Stage(1)
    stage.connect_all()
    for at in range(30):
        down = stage.client()
        for number in range(100):
            stage.request(down, [*GRPC_REQUEST[:2], (":path", f"/{at}/{number}"), *GRPC_REQUEST[3:]])
        down.hang_up()
    assert len(stage.relay.decisions) <= 1_000
    stage.finish()


def test_a_changed_timeout_holds_for_the_next_request() -> None:
    stage = Stage(1)
    stage.connect_all()
    down = stage.client()
    one = stage.request(down)
    stage.timeout_s = 0.5
    stage.relay.forget_decisions()
    two = stage.request(down)
    stage.advance(1)
    assert two in down.voice.ended
    assert one not in down.voice.ended
    stage.finish()


def test_deadlines_come_at_the_first_tick_after_them_and_not_before() -> None:
    for at in range(200):
        stage = Stage(1, timeout_s=0.05 + at * 0.0077)
        stage.now += at * 0.013
        stage.connect_all()
        down = stage.client()
        due_s = stage.now + stage.timeout_s
        one = stage.request(down)
        while one not in down.voice.ended:
            stage.now += 0.01
            stage.expire(stage.now)
            assert stage.now < due_s + 2 * TICK_S
        assert stage.now >= due_s
        stage.finish()


def test_a_late_sweep_catches_up() -> None:
    stage = Stage(1, timeout_s=0.3)
    stage.connect_all()
    down = stage.client()
    ids = []
    for _ in range(10):
        ids.append(stage.request(down))
        stage.now += 0.25
    due = stage.relay.find_due(stage.now + 60)
    next(due).deadline_passed(stage.now + 60)
    stage.flush()
    assert sum(stream_id in down.voice.ended for stream_id in ids) == 1
    # Who was not read is due the next time.
    stage.expire(stage.now + 61)
    assert all(stream_id in down.voice.ended for stream_id in ids)
    stage.check_idle()
    stage.finish()
