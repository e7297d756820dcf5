"""Scripts of whole connections: their number, their replacement, their drain, their silence (DESIGN 3.2)."""

from __future__ import annotations

import pytest

from proxy.relay.downstream import DRAIN_PING
from proxy.relay.link import REPLACE_AT_ID
from tests.playbook.conftest import MakeStage
from tests.playbook.stage import Stage, Wire
from tests.playbook.voice import GRPC_OK, GRPC_RESPONSE

MAX_CONCURRENT_STREAMS = 3
LAST_ID = 2**31 - 1


def answer(up: Wire, there: int) -> None:
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.headers(there, GRPC_OK, end=True))


def test_a_full_connection_gets_a_second_one(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    link = stage.endpoints[0].link
    first = stage.connect(link, {MAX_CONCURRENT_STREAMS: 1})
    down = stage.client()
    one, two, three = stage.request(down), stage.request(down), stage.request(down)
    assert len(first.hear("HEADERS")) == 1
    assert stage.dialled == [link]
    second = stage.connect(link, {MAX_CONCURRENT_STREAMS: 1})
    assert stage.where(down, two) == (second, 1)
    assert stage.dialled == [link]
    answer(first, 1)
    assert stage.where(down, three) == (first, 3)
    answer(second, 1)
    answer(first, 3)
    assert all(down.hear("HEADERS", stream_id)[-1].headers == GRPC_OK for stream_id in (one, two, three))
    stage.check_idle()


def test_a_peer_that_allows_no_streams(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    up = stage.connect(stage.dialled[0], {MAX_CONCURRENT_STREAMS: 0})
    down = stage.client()
    one = stage.request(down)
    assert not stage.dialled
    stage.advance(2.9)
    assert not down.hear("HEADERS")
    stage.advance(0.3)
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "14"
    two = stage.request(down)
    stage.advance(1)
    up.feed(up.voice.settings({MAX_CONCURRENT_STREAMS: 1}))
    answer(*stage.where(down, two))
    assert not up.hear("RST_STREAM")
    stage.check_idle()


def test_a_limit_that_is_lowered_beneath_what_is_open(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    up = stage.connect(stage.dialled[0])
    down = stage.client()
    ids = [stage.request(down) for _ in range(5)]
    up.feed(up.voice.settings({MAX_CONCURRENT_STREAMS: 2}))
    late = stage.request(down)
    for at in range(3):
        answer(up, 2 * at + 1)
        assert len(up.hear("HEADERS")) == 5
    answer(up, 7)
    assert stage.where(down, late) == (up, 11)
    answer(up, 9)
    answer(up, 11)
    assert len(ids) + 1 == len([heard for heard in down.hear("HEADERS") if heard.end])
    stage.check_idle()


def test_no_limit_in_the_settings_means_none(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    up = stage.connect(stage.dialled[0])
    for _ in range(5):
        down = stage.client()
        for _ in range(100):
            stage.request(down)
    assert len(up.hear("HEADERS")) == 500
    assert not stage.dialled


def test_requests_that_wait_for_room_move_on_when_the_endpoint_goes(make_stage: MakeStage) -> None:
    stage = make_stage(2)
    first = stage.connect(stage.dialled[0], {MAX_CONCURRENT_STREAMS: 1})
    down = stage.client()
    ids = [stage.request(down, body=b"b") for _ in range(10)]
    second = stage.connect(stage.dialled[0])
    first.feed(first.voice.goaway(1))
    assert [second.body(there) for there in range(1, 19, 2)] == [b"b"] * 9
    for there in range(1, 19, 2):
        answer(second, there)
    answer(first, 1)
    assert first.lost
    assert all(stream_id in down.voice.ended for stream_id in ids)
    assert not stage.replays()
    stage.check_idle()


@pytest.mark.parametrize("end_first", [True, False])
def test_ids_run_out_without_losing_a_request(make_stage: MakeStage, end_first: bool) -> None:
    stage = make_stage(1)
    link = stage.endpoints[0].link
    old = stage.connect(link, next_id=2**31 - 9)
    down = stage.client()
    ids = [stage.request(down, body=b"%d" % at) for at in range(12)]
    assert [heard.stream_id for heard in old.hear("HEADERS")] == [
        LAST_ID - 8,
        LAST_ID - 6,
        LAST_ID - 4,
        LAST_ID - 2,
        LAST_ID,
    ]
    assert stage.dialled == [link]
    if end_first:
        for there in range(LAST_ID - 8, LAST_ID + 1, 2):
            answer(old, there)
    new = stage.connect(link)
    assert [heard.stream_id for heard in new.hear("HEADERS")] == list(range(1, 15, 2))
    for there in range(1, 15, 2):
        answer(new, there)
    if not end_first:
        for there in range(LAST_ID - 8, LAST_ID + 1, 2):
            answer(old, there)
    assert old.lost
    assert all(down.hear("HEADERS", stream_id)[-1].headers == GRPC_OK for stream_id in ids)
    stage.check_idle()


def test_make_before_break(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    link = stage.endpoints[0].link
    old = stage.connect(link, next_id=REPLACE_AT_ID - 3)
    down = stage.client()
    stage.request(down)
    stage.request(down)
    assert not stage.dialled
    third = stage.request(down)
    assert stage.dialled == [link]
    assert stage.endpoints[0].ready
    fourth = stage.request(down)
    assert stage.where(down, fourth)[0] is old
    new = stage.connect(link)
    assert stage.where(down, third)[0] is old
    fifth = stage.request(down)
    assert stage.where(down, fifth)[0] is new
    for heard in old.hear("HEADERS"):
        answer(old, heard.stream_id)
    assert old.lost
    assert not stage.dialled
    answer(new, 1)
    stage.check_idle()


def test_an_endpoint_removed_while_it_is_dialled_is_let_go(make_stage: MakeStage) -> None:
    stage = make_stage(2)
    link = stage.endpoints[0].link
    stage.cluster.balancer.replace(stage.endpoints[1:])
    link.removed = True
    up = stage.connect(link)
    assert up.lost
    assert stage.cluster.deserted_since_s > 0


def test_a_client_s_ids_run_out_in_good_time(stage: Stage) -> None:
    down = stage.client()
    down.voice.next_id = 2**30 - 1
    one = stage.request(down)
    assert not down.hear("GOAWAY")
    two = stage.request(down)
    assert [heard.number for heard in down.hear("GOAWAY")] == [LAST_ID]
    three = stage.request(down)
    down.feed(down.voice.ping(DRAIN_PING, ack=True))
    assert [heard.number for heard in down.hear("GOAWAY")] == [LAST_ID, three]
    late = stage.request(down)
    assert [heard.code for heard in down.hear("RST_STREAM", late)] == [7]
    for stream_id in (one, two, three):
        answer(*stage.where(down, stream_id))
    assert down.lost
    stage.check_idle()


def test_drain_with_an_ack(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    down.conn.drain(stage.now)
    stage.flush()
    assert [(heard.number, heard.code) for heard in down.hear("GOAWAY")] == [(LAST_ID, 0)]
    assert [heard.data for heard in down.hear("PING")] == [DRAIN_PING]
    two = stage.request(down)
    down.feed(down.voice.ping(DRAIN_PING, ack=True))
    assert [heard.number for heard in down.hear("GOAWAY")] == [LAST_ID, two]
    down.feed(down.voice.ping(DRAIN_PING, ack=True))
    stage.advance(2)
    assert len(down.hear("GOAWAY")) == 2
    answer(*stage.where(down, one))
    assert not down.lost
    answer(*stage.where(down, two))
    assert down.lost
    stage.check_idle()


def test_drain_without_an_ack(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    down.conn.drain(stage.now)
    stage.advance(0.8)
    assert len(down.hear("GOAWAY")) == 1
    stage.advance(0.4)
    assert [heard.number for heard in down.hear("GOAWAY")] == [LAST_ID, one]
    answer(*stage.where(down, one))
    assert down.lost


def test_drain_of_an_idle_connection(stage: Stage) -> None:
    down = stage.client()
    down.conn.drain(stage.now)
    stage.flush()
    assert not down.lost
    down.feed(down.voice.ping(DRAIN_PING, ack=True))
    assert [heard.number for heard in down.hear("GOAWAY")] == [LAST_ID, 0]
    assert down.lost


def test_a_fault_after_the_drain_takes_no_refusal_back(stage: Stage) -> None:
    """The voice fails on a GOAWAY whose last stream is above an earlier one's."""
    down = stage.client()
    stage.request(down)
    down.conn.drain(stage.now)
    stage.advance(1.2)
    stage.request(down)
    stage.request(down)
    down.feed(b"\x00\x00\x01\x06\x00\x00\x00\x00\x00\x00")
    assert [heard.code for heard in down.hear("GOAWAY")] == [0, 0, 6]
    assert down.lost
    stage.check_idle()


def test_no_ping_goes_to_a_foreign_peer(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE))
    stage.advance(600)
    assert not any(wire.hear("PING") for wire in [*stage.ups, *stage.downs])
    assert not up.lost
    down.feed(down.voice.data(one, b"still here", end=True))
    assert up.body(there) == b"still here"
    up.feed(up.voice.headers(there, GRPC_OK, end=True))
    stage.check_idle()


def test_a_client_s_goaway_lets_its_requests_finish(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    down.feed(down.voice.goaway(0))
    answer(*stage.where(down, one))
    assert down.hear("HEADERS", one)[-1].headers == GRPC_OK
    stage.check_idle()


def test_a_request_goes_where_there_is_room(make_stage: MakeStage) -> None:
    """One endpoint allows no streams at all: nobody waits for it while the other has room."""
    stage = make_stage(2)
    stage.connect(stage.endpoints[0].link, {3: 0})
    other = stage.connect(stage.endpoints[1].link)
    down = stage.client()
    for _ in range(20):
        one = stage.request(down)
        assert stage.where(down, one)[0] is other
    stage.finish()
