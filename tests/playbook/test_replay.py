"""Scripts of replays: what was never processed is sent elsewhere, and only that (DESIGN 3.2, RFC 9113, section 8.7)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from proxy.codec.limits import Limits
from tests.playbook.conftest import MakeStage
from tests.playbook.stage import Stage, Wire, say_body
from tests.playbook.voice import GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE

REFUSED_STREAM = 7


def answer(stage: Stage, down: Wire, stream_id: int) -> None:
    """Whoever has the request now answers it."""
    up, there = stage.where(down, stream_id)
    voice = up.voice
    up.feed(voice.headers(there, GRPC_RESPONSE) + voice.data(there, b"x") + voice.headers(there, GRPC_OK, end=True))
    assert down.hear("HEADERS", stream_id)[-1].headers == GRPC_OK


def test_goaway_replays_what_is_above_and_finishes_what_is_below(make_stage: MakeStage) -> None:
    stage = make_stage(2)
    first = stage.connect(stage.dialled[0])
    down = stage.client()
    low = stage.request(down, body=b"low")
    high = stage.request(down, body=b"high" * 10_000)
    assert stage.where(down, low) == (first, 1)
    second = stage.connect(stage.dialled[0])
    first.feed(first.voice.goaway(1))
    assert stage.where(down, low) == (first, 1)
    assert stage.where(down, high) == (second, 1)
    assert second.body(1) == b"high" * 10_000
    assert not first.lost
    assert stage.endpoints[0].link in stage.dialled
    answer(stage, down, low)
    assert first.lost
    answer(stage, down, high)
    assert stage.replays() == 1
    stage.check_idle()


def test_a_goaway_that_announces_the_end_refuses_nothing_yet(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.goaway(2**31 - 1))
    assert stage.where(down, one) == (up, there)
    two = stage.request(down)
    assert stage.where(down, two)[0] is not up
    up.feed(up.voice.goaway(0))
    assert stage.where(down, one)[0] is not up
    assert up.lost
    answer(stage, down, one)
    answer(stage, down, two)
    stage.check_idle()


def test_goaway_with_many_streams_loses_none(make_stage: MakeStage) -> None:
    stage = make_stage(3)
    stage.connect_all()
    down = stage.client()
    ids = [stage.request(down, body=b"%d" % at, end=at % 2 == 0) for at in range(90)]
    gone = stage.ups[0]
    gone.feed(gone.voice.goaway(21))
    gone.feed(gone.voice.goaway(1))
    for at, stream_id in enumerate(ids):
        if at % 2:
            down.feed(down.voice.data(stream_id, b"!", end=True))
        up, there = stage.where(down, stream_id)
        assert up is not gone or there == 1
        assert up.body(there).strip(b"!") == b"%d" % at
        answer(stage, down, stream_id)
    assert gone.lost
    stage.check_idle()


def test_refused_twice_then_served(make_stage: MakeStage) -> None:
    stage = make_stage(3)
    stage.connect_all()
    down = stage.client()
    one = stage.request(down, body=b"body")
    seen = []
    for _ in range(2):
        up, there = stage.where(down, one)
        seen.append(up)
        up.feed(up.voice.rst(there, REFUSED_STREAM))
    up, there = stage.where(down, one)
    assert len({id(wire) for wire in [*seen, up]}) == 3
    assert up.body(there) == b"body"
    answer(stage, down, one)
    assert stage.replays() == 2
    stage.check_idle()


@pytest.mark.parametrize("endpoints", [1, 2, 3, 5])
def test_never_more_than_two_replays_and_never_the_same_endpoint(make_stage: MakeStage, endpoints: int) -> None:
    stage = make_stage(endpoints)
    stage.connect_all()
    down = stage.client()
    one = stage.request(down, body=b"body")
    for _ in range(min(endpoints, 3)):
        up, there = stage.where(down, one)
        up.feed(up.voice.rst(there, REFUSED_STREAM))
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [REFUSED_STREAM]
    assert not down.hear("HEADERS", one)
    assert max(len(up.hear("HEADERS")) for up in stage.ups) == 1
    assert stage.replays() == min(endpoints, 3) - 1
    # Each endpoint that refused it counts one request, and one failure.
    assert sum(handle.requests for handle in stage.registry._https.all()) == min(endpoints, 3)
    stage.check_idle()


@pytest.mark.parametrize("body_bytes", [0, 1, 20_000, 65_536])
def test_the_body_is_replayed_with_its_trailers(stage: Stage, body_bytes: int) -> None:
    down = stage.client()
    one = stage.request(down, end=False)
    body = bytes(at % 251 for at in range(body_bytes))
    down.feed(say_body(down.voice, one, body, end=False))
    down.feed(down.voice.headers(one, [("x-trailer", "t")], end=True))
    up, there = stage.where(down, one)
    up.feed(up.voice.rst(there, REFUSED_STREAM))
    up, there = stage.where(down, one)
    if body_bytes > 65_535:
        up.feed(up.voice.window(there, 1) + up.voice.window(0, 1))
    assert up.body(there) == body
    assert up.hear("HEADERS", there)[-1].headers == [("x-trailer", "t")]
    answer(stage, down, one)
    stage.check_idle()


def test_no_replay_after_64_kib(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.window(0, 10**6) + up.voice.window(there, 10**6))
    down.feed(say_body(down.voice, one, b"x" * 65_536, end=False))
    down.feed(down.voice.data(one, b"x"))
    up.feed(up.voice.rst(there, REFUSED_STREAM))
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [REFUSED_STREAM]
    assert stage.replays() == 0
    stage.check_idle()


@pytest.mark.parametrize("status", ["100", "200"])
def test_no_replay_after_a_response_byte(stage: Stage, status: str) -> None:
    down = stage.client()
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [(":status", status)]) + up.voice.rst(there, REFUSED_STREAM))
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [REFUSED_STREAM]
    assert stage.replays() == 0
    stage.check_idle()


def test_goaway_below_an_answered_stream_is_no_replay(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.goaway(0))
    assert down.hear("HEADERS", one)[-1].header("grpc-status") == "14"
    assert stage.replays() == 0
    stage.check_idle()


def test_a_refusal_during_the_upload_keeps_the_windows_right(stage: Stage) -> None:
    """A replayed body drains twice: the client must be credited for it once, and never with a WINDOW_UPDATE of 0."""
    down = stage.client()
    one = stage.request(down, end=False)
    sent = bytearray()
    total = 60_000
    for start in range(0, total, 10_000):
        piece = bytes((start // 10_000,)) * 10_000
        sent += piece
        down.feed(down.voice.data(one, piece))
    up, there = stage.where(down, one)
    for at, other in enumerate(stage.ups):
        if other is not up:
            other.feed(other.voice.settings({4: 7 * at}))  # a small window: the replay has to queue
    up.feed(up.voice.rst(there, REFUSED_STREAM))
    up, there = stage.where(down, one)
    left = stage.where(down, one)[0].conn.streams[there]
    for _ in range(1_000):
        if up.body(there) == bytes(sent):
            break
        up.feed(up.voice.window(there, 997) + up.voice.window(0, 997))
    assert up.body(there) == bytes(sent)
    assert left.queue is None
    stream = down.conn.streams[one]
    assert down.voice.own_window(one) == stream.recv_window
    assert 0 < stream.recv_window <= stream.window_target
    down.feed(down.voice.data(one, b"", end=True))
    answer(stage, down, one)
    stage.check_idle()


def test_credit_after_a_replay_that_drains_at_once_and_without_growth(make_stage: MakeStage) -> None:
    stage = make_stage(2, Limits(growth_bytes=0))
    stage.connect_all()
    down = stage.client()
    one = stage.request(down, body=b"x" * 60_000, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.rst(there, REFUSED_STREAM))
    for _ in range(20):
        up, there = stage.where(down, one)
        up.feed(up.voice.window(there, 30_000) + up.voice.window(0, 30_000))
        assert down.voice.own_window(one) > 30_000
        down.feed(down.voice.data(one, b"y" * 10_000))
    answer(stage, down, one)


def test_the_client_cancels_between_the_attempts(make_stage: MakeStage) -> None:
    """The second endpoint allows no stream, so that the replay waits there."""
    stage = make_stage(2)
    first = stage.connect(stage.dialled[0])
    down = stage.client()
    one = stage.request(down, body=b"body")
    stage.connect(stage.dialled[0], {3: 0})
    first.feed(first.voice.rst(1, REFUSED_STREAM))
    assert stage.pending() == [0, 1]
    down.feed(down.voice.rst(one))
    stage.check_idle()


def test_a_replay_that_waits_in_vain_fails_in_time(make_stage: MakeStage) -> None:
    stage = make_stage(2)
    first = stage.connect(stage.dialled[0])
    down = stage.client()
    one = stage.request(down, body=b"body")
    stage.connect(stage.dialled[0], {3: 0})
    first.feed(first.voice.rst(1, REFUSED_STREAM))
    stage.advance(2.8)
    assert not down.hear("HEADERS", one)
    stage.advance(0.5)
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "14"
    stage.check_idle()


def test_a_replay_that_waits_is_served_once_there_is_room(make_stage: MakeStage) -> None:
    stage = make_stage(2)
    first = stage.connect(stage.dialled[0])
    down = stage.client()
    one = stage.request(down, GRPC_REQUEST, body=b"be")
    second = stage.connect(stage.dialled[0], {3: 0})
    first.feed(first.voice.rst(1, REFUSED_STREAM))
    second.feed(second.voice.settings({3: 5}))
    assert second.body(1) == b"be"
    answer(stage, down, one)
    stage.check_idle()


def test_refusals_in_a_row_go_in_order(make_stage: MakeStage) -> None:
    stage = make_stage(2)
    first = stage.connect(stage.dialled[0])
    down = stage.client()
    ids = [stage.request(down, body=b"%02d" % at) for at in range(20)]
    second = stage.connect(stage.dialled[0])
    first.feed(b"".join(first.voice.rst(there, REFUSED_STREAM) for there in range(1, 41, 2)))
    bodies = [second.body(there) for there in range(1, 41, 2)]
    assert all(one < two for one, two in pairwise(bodies))
    for stream_id in ids:
        answer(stage, down, stream_id)
    stage.check_idle()


def test_a_goaway_of_the_only_endpoint_is_replayed_on_its_next_connection(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    (first,) = stage.connect_all()
    down = stage.client()
    one = stage.request(down, body=b"body")
    first.feed(first.voice.goaway(0))
    assert not down.hear("RST_STREAM", one)
    second = stage.connect(stage.endpoints[0].link)
    assert stage.where(down, one) == (second, 1)
    assert second.body(1) == b"body"
    answer(stage, down, one)
    stage.check_idle()


def test_goaways_without_end_are_not_replayed_without_end(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    stage.connect_all()
    down = stage.client()
    one = stage.request(down)
    for _ in range(3):
        up, _there = stage.where(down, one)
        up.feed(up.voice.goaway(0))
        if stage.dialled:
            stage.connect(stage.endpoints[0].link)
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [REFUSED_STREAM]
    assert stage.replays() == 2
    # It never answered: each dial waits longer.
    assert stage.endpoints[0].link.failures == 3
    stage.check_idle()
