from __future__ import annotations

import pytest

from proxy.codec.errors import Http1Spoken
from proxy.codec.limits import Limits
from tests.playbook.voice import GET_REQUEST, PREFACE
from tests.unit.proxy.codec.roles import NotedServer, Talk, frame

PROTOCOL_ERROR, STREAM_CLOSED, REFUSED_STREAM, CANCEL, CALM = 1, 5, 7, 8, 11


@pytest.fixture
def talk() -> Talk:
    return Talk(NotedServer())


def open_stream(talk: Talk, stream_id: int, end: bool = True) -> None:
    talk.say(talk.voice.headers(stream_id, GET_REQUEST, end=end))


@pytest.mark.parametrize("size", range(1, 24))
def test_the_preface_may_come_in_pieces(size: int) -> None:
    conn = NotedServer()
    buf = bytearray(PREFACE + frame(4, 0, 0))
    assert conn.feed(buf, 0, size, 0.0) == 0
    assert not conn.closed
    assert conn.feed(buf, 0, len(buf), 0.0) == len(buf)
    assert conn.events == [("settings",)]


@pytest.mark.parametrize(
    "garbage",
    [b"get /\0", b"G\r\n", b"GETS" * 9, b" GET /", b"INVALID CONNECTION PREFACE", PREFACE[:-1] + b"x", b"\x16\x03\x01"],
)
def test_what_is_no_preface_ends_it(garbage: bytes) -> None:
    conn = NotedServer()
    conn.start()
    buf = bytearray(garbage)
    assert conn.feed(buf, 0, len(buf), 0.0) == len(buf)
    assert conn.closed
    assert conn.feed(buf, 0, len(buf), 0.0) == len(buf)
    assert conn.take().count(b"not an HTTP/2 client preface") == 1


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1\r\n\r\n", b"POST /x HTTP/1.0\r\n", b"P * HTTP/1.1"])
def test_http_1_is_left_to_others(request_line: bytes) -> None:
    conn = NotedServer()
    conn.start()
    buf = bytearray(request_line)
    for end in range(1, request_line.index(b"/1.") + 3):
        assert conn.feed(buf, 0, end, 0.0) == 0
    with pytest.raises(Http1Spoken):
        conn.feed(buf, 0, len(buf), 0.0)
    assert not conn.closed
    assert not conn.out


def test_ids_must_rise(talk: Talk) -> None:
    open_stream(talk, 5)
    open_stream(talk, 3)
    assert talk.fault_code() == PROTOCOL_ERROR


def test_gaps_are_remembered_within_bounds(talk: Talk) -> None:
    for at in range(100):
        open_stream(talk, 1 + 10 * at)
    assert len(talk.conn.skipped) == 16
    assert talk.conn.skipped[-1] == (982, 990)
    open_stream(talk, 985)
    assert talk.fault_code() == PROTOCOL_ERROR


def test_too_many_streams_are_refused(talk: Talk) -> None:
    for at in range(101):
        open_stream(talk, 1 + 2 * at)
    assert [(one.stream_id, one.code) for one in talk.voice.heard if one.kind == "RST_STREAM"] == [
        (201, REFUSED_STREAM)
    ]
    assert talk.conn.open_streams == 100
    talk.conn.send_headers(talk.conn.streams[1], b"\x88", True)
    open_stream(talk, 203)
    assert talk.events[-1][:2] == ("request", 203)


def test_a_refused_stream_s_body_is_dropped(talk: Talk) -> None:
    talk.conn.finish()
    open_stream(talk, 1, end=False)
    talk.say(talk.voice.data(1, b"x" * 1_000) + talk.voice.headers(1, [("x", "y")], end=True))
    assert not talk.conn.closed
    assert not talk.conn.limbo
    assert [event for event in talk.events if event[0] != "settings"] == []


def test_a_malformed_request_is_reset_and_the_rest_goes_on(talk: Talk) -> None:
    talk.say(talk.voice.headers(1, [*GET_REQUEST, ("connection", "close")], end=True))
    open_stream(talk, 3)
    assert [(one.stream_id, one.code) for one in talk.voice.heard if one.kind == "RST_STREAM"] == [(1, PROTOCOL_ERROR)]
    assert talk.events == [("request", 3, b"/", True)]


@pytest.mark.parametrize("stage", ["headers", "data", "trailers"])
def test_content_length_holds(talk: Talk, stage: str) -> None:
    talk.say(talk.voice.headers(1, [*GET_REQUEST, ("content-length", "5")], end=stage == "headers"))
    if stage == "data":
        talk.say(talk.voice.data(1, b"four", end=True))
    elif stage == "trailers":
        talk.say(talk.voice.data(1, b"four") + talk.voice.headers(1, [("x", "y")], end=True))
    assert [one.code for one in talk.voice.heard if one.kind == "RST_STREAM"] == [PROTOCOL_ERROR]


@pytest.mark.parametrize("pieces", [[b"five5"], [b"fi", b"", b"ve5"], [b"five5", b""]])
def test_a_body_of_the_right_length(talk: Talk, pieces: list[bytes]) -> None:
    talk.say(talk.voice.headers(1, [*GET_REQUEST, ("content-length", "5")]))
    for at, piece in enumerate(pieces):
        talk.say(talk.voice.data(1, piece, end=at == len(pieces) - 1))
    assert b"".join(event[2] for event in talk.events if event[0] == "data") == b"five5"
    assert talk.events[-1][3]


def test_frames_after_the_end_are_a_fault_of_the_stream(talk: Talk) -> None:
    open_stream(talk, 1)
    heard = talk.say(talk.voice.data(1, b"x"))
    assert [(one.kind, one.code) for one in heard] == [("RST_STREAM", STREAM_CLOSED)]
    open_stream(talk, 3)
    heard = talk.say(talk.voice.headers(3, [("x", "y")], end=True))
    assert [(one.kind, one.code) for one in heard] == [("RST_STREAM", STREAM_CLOSED)]
    assert not talk.conn.streams


def goaway_codes(talk: Talk) -> list[int]:
    return [one.code for one in talk.voice.heard if one.kind == "GOAWAY"]


def reset_streams(talk: Talk, count: int, code: int = CANCEL, step_s: float = 0.01, at: int = 1) -> None:
    for stream_id in range(at, at + 2 * count, 2):
        open_stream(talk, stream_id)
        talk.now += step_s
        talk.say(talk.voice.rst(stream_id, code))


def test_early_resets_end_it_with_enhance_your_calm(talk: Talk) -> None:
    reset_streams(talk, 500)
    assert not goaway_codes(talk)
    reset_streams(talk, 1, at=1_001)
    assert goaway_codes(talk) == [CALM]
    reset_streams(talk, 20, at=1_003)
    assert goaway_codes(talk) == [CALM]


def test_late_resets_do_not_count(talk: Talk) -> None:
    reset_streams(talk, 600, step_s=1.1)
    assert not goaway_codes(talk)


def test_resets_after_the_deadline_do_not_count_but_only_as_cancel(talk: Talk) -> None:
    talk.conn.expired = True
    reset_streams(talk, 600)
    assert not goaway_codes(talk)
    other = Talk(NotedServer())
    other.conn.expired = True
    reset_streams(other, 501, code=2)
    assert goaway_codes(other) == [CALM]


def test_resets_after_our_headers_do_not_count(talk: Talk) -> None:
    for at in range(600):
        open_stream(talk, 1 + 2 * at)
        talk.conn.send_headers(talk.conn.streams[1 + 2 * at], b"\x88", False)
        talk.hear()
        talk.say(talk.voice.rst(1 + 2 * at, CANCEL))
    assert not goaway_codes(talk)


def test_unfinished_cancels_count_for_concurrency_for_a_second() -> None:
    talk = Talk(NotedServer(Limits(max_concurrent_streams=5)))
    reset_streams(talk, 20, step_s=0.0)
    assert len([event for event in talk.events if event[0] == "request"]) == 10
    talk.now += 1.1
    open_stream(talk, 101)
    assert talk.events[-1][:2] == ("request", 101)


def test_finish_refuses_what_comes_later(talk: Talk) -> None:
    open_stream(talk, 1)
    talk.conn.finish()
    open_stream(talk, 3)
    assert [one.number for one in talk.voice.heard if one.kind == "GOAWAY"] == [1]
    assert [(one.stream_id, one.code) for one in talk.voice.heard if one.kind == "RST_STREAM"] == [(3, REFUSED_STREAM)]
    assert list(talk.conn.streams) == [1]


def test_a_client_may_use_the_default_window_until_it_knows_ours() -> None:
    talk = Talk(NotedServer(Limits(stream_window_bytes=1_024)))
    data = b"".join(frame(0, 0, 1, bytes(size)) for size in (16_384, 16_384, 16_384, 16_383))
    open_stream(talk, 1, end=False)
    assert not [heard for heard in talk.say(data) if heard.kind == "RST_STREAM"]
    talk.say(frame(4, 1, 0))
    open_stream(talk, 3, end=False)
    talk.say(frame(0, 0, 3, bytes(1_024)))
    assert [(heard.stream_id, heard.code) for heard in talk.say(frame(0, 0, 3, b"x"))] == [(3, 3)]


def test_who_does_not_heed_the_final_goaway_is_ended(talk: Talk) -> None:
    open_stream(talk, 1)
    talk.conn.finish()
    for at in range(1_000):
        open_stream(talk, 3 + 2 * at)
    assert not talk.conn.closed
    open_stream(talk, 2_003)
    assert talk.conn.closed
    assert talk.conn.fault == "streams after GOAWAY"
