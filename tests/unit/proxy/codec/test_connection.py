"""What both roles share: framing, settings, windows and the faults of RFC 9113, sections 4 to 6."""

from __future__ import annotations

import pytest

from proxy.codec.limits import Limits
from tests.playbook.voice import GET_REQUEST, OK
from tests.unit.proxy.codec.roles import NotedClient, NotedServer, Talk, frame

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 1, 1, 4, 8, 32
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR, CALM = 1, 3, 5, 6, 9, 11
GET = b"\x82\x86\x84\x41\x04echo"


def open_stream(talk: Talk, stream_id: int = 1, end: bool = False) -> None:
    talk.say(talk.voice.headers(stream_id, GET_REQUEST, end=end))


@pytest.fixture
def talk() -> Talk:
    """A server with stream 1 open, and streams 3 and 5 closed."""
    made = Talk(NotedServer())
    open_stream(made)
    for stream_id in (3, 5):
        open_stream(made, stream_id, end=True)
        made.conn.send_headers(made.conn.streams[stream_id], b"\x88", True)
    made.hear()
    made.events.clear()
    return made


CONNECTION_FAULTS = {
    "too large": (b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", FRAME_SIZE_ERROR),
    "DATA on stream 0": (frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
    "DATA on an idle stream": (frame(DATA, 0, 7, b"x"), PROTOCOL_ERROR),
    "DATA on a closed stream": (frame(DATA, 0, 3, b"x"), STREAM_CLOSED),
    "DATA padded without a length": (frame(DATA, PADDED, 1), FRAME_SIZE_ERROR),
    "DATA padded too much": (frame(DATA, PADDED, 1, b"\x05abcd"), PROTOCOL_ERROR),
    "HEADERS on stream 0": (frame(HEADERS, END_HEADERS, 0, GET), PROTOCOL_ERROR),
    "HEADERS on an even stream": (frame(HEADERS, END_HEADERS, 8, GET), PROTOCOL_ERROR),
    "HEADERS on a closed stream": (frame(HEADERS, END_HEADERS, 3, GET), STREAM_CLOSED),
    "HEADERS padded without a length": (frame(HEADERS, END_HEADERS | PADDED, 7), FRAME_SIZE_ERROR),
    "HEADERS padded too much": (frame(HEADERS, END_HEADERS | PADDED, 7, b"\x09" + GET[:8]), PROTOCOL_ERROR),
    "HEADERS with half a priority": (frame(HEADERS, END_HEADERS | HAS_PRIORITY, 7, b"1234"), FRAME_SIZE_ERROR),
    "HEADERS padded into the priority": (
        frame(HEADERS, END_HEADERS | HAS_PRIORITY | PADDED, 7, b"\x01\x00\x00\x00\x00\x00"),
        PROTOCOL_ERROR,
    ),
    "HEADERS that do not decode": (frame(HEADERS, END_HEADERS, 7, b"\xff\xff\xff"), COMPRESSION_ERROR),
    "HEADERS interrupted": (frame(HEADERS, 0, 7, GET) + frame(PING, 0, 0, b"12345678"), PROTOCOL_ERROR),
    "HEADERS interrupted by an extension": (frame(HEADERS, 0, 7, GET) + frame(99, 0, 0), PROTOCOL_ERROR),
    "CONTINUATION of another": (frame(HEADERS, 0, 7, GET) + frame(CONTINUATION, 4, 9), PROTOCOL_ERROR),
    "CONTINUATION of nothing": (frame(CONTINUATION, END_HEADERS, 1), PROTOCOL_ERROR),
    "PRIORITY on stream 0": (frame(PRIORITY, 0, 0, b"\x00\x00\x00\x01\x00"), PROTOCOL_ERROR),
    "RST_STREAM on stream 0": (frame(RST_STREAM, 0, 0, b"\x00\x00\x00\x08"), PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (frame(RST_STREAM, 0, 7, b"\x00\x00\x00\x08"), PROTOCOL_ERROR),
    "RST_STREAM too short": (frame(RST_STREAM, 0, 1, b"\x00\x00\x08"), FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "SETTINGS of a wrong size": (frame(SETTINGS, 0, 0, b"12345"), FRAME_SIZE_ERROR),
    "SETTINGS ACK with something": (frame(SETTINGS, ACK, 0, bytes(6)), FRAME_SIZE_ERROR),
    "SETTINGS window too large": (frame(SETTINGS, 0, 0, b"\x00\x04\x80\x00\x00\x00"), FLOW_CONTROL_ERROR),
    "SETTINGS frame size too small": (frame(SETTINGS, 0, 0, b"\x00\x05\x00\x00\x3f\xff"), PROTOCOL_ERROR),
    "SETTINGS frame size too large": (frame(SETTINGS, 0, 0, b"\x00\x05\x01\x00\x00\x00"), PROTOCOL_ERROR),
    "SETTINGS push of 2": (frame(SETTINGS, 0, 0, b"\x00\x02\x00\x00\x00\x02"), PROTOCOL_ERROR),
    "SETTINGS with 33 entries": (frame(SETTINGS, 0, 0, bytes(6 * 33)), CALM),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, END_HEADERS, 1, b"\x00\x00\x00\x02\x88"), PROTOCOL_ERROR),
    "PING of a wrong size": (frame(PING, 0, 0, b"1234567"), FRAME_SIZE_ERROR),
    "PING on a stream": (frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "GOAWAY on a stream": (frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "GOAWAY too short": (frame(GOAWAY, 0, 0, bytes(7)), FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of a wrong size": (frame(WINDOW_UPDATE, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of 0": (frame(WINDOW_UPDATE, 0, 0, bytes(4)), PROTOCOL_ERROR),
    "WINDOW_UPDATE on an idle stream": (frame(WINDOW_UPDATE, 0, 7, b"\x00\x00\x00\x01"), PROTOCOL_ERROR),
    "WINDOW_UPDATE overflow": (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
    "SETTINGS overflow a stream's window": (
        frame(WINDOW_UPDATE, 0, 1, b"\x7f\x00\x00\x00") + frame(SETTINGS, 0, 0, b"\x00\x04\x7f\xff\xff\xff"),
        FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize("name", CONNECTION_FAULTS)
def test_faults_of_the_connection(talk: Talk, name: str) -> None:
    data, code = CONNECTION_FAULTS[name]
    talk.say(data + frame(PING, 0, 0, b"too late"))
    assert talk.fault_code() == code
    assert not [heard for heard in talk.voice.heard if heard.kind == "PING_ACK"]


STREAM_FAULTS = {
    "WINDOW_UPDATE of 0": (frame(WINDOW_UPDATE, 0, 1, bytes(4)), PROTOCOL_ERROR),
    "WINDOW_UPDATE overflow": (frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff"), FLOW_CONTROL_ERROR),
    "PRIORITY of a wrong size": (frame(PRIORITY, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
    "PRIORITY on itself": (frame(PRIORITY, 0, 1, b"\x00\x00\x00\x01\x00"), PROTOCOL_ERROR),
    "trailers without an end": (frame(HEADERS, END_HEADERS, 1, b"\x00\x01x\x01y"), PROTOCOL_ERROR),
    "trailers with a pseudo-header": (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82"), PROTOCOL_ERROR),
    "window overrun": (frame(DATA, 0, 1, bytes(16_384)) * 5, FLOW_CONTROL_ERROR),
}


@pytest.mark.parametrize("name", STREAM_FAULTS)
def test_faults_of_a_stream_leave_the_others(talk: Talk, name: str) -> None:
    data, code = STREAM_FAULTS[name]
    open_stream(talk, 7)
    heard = talk.say(data)
    assert [(one.stream_id, one.code) for one in heard if one.kind == "RST_STREAM"] == [(1, code)]
    assert ("failed", 1, code) in talk.events
    assert list(talk.conn.streams) == [7]
    talk.say(frame(DATA, END_STREAM, 7, b"fine"))
    assert ("data", 7, b"fine", True) in talk.events
    assert not talk.conn.closed


IGNORED = {
    "an extension": frame(0xBE, 255, 1, b"whatever"),
    "unknown settings": frame(SETTINGS, 0, 0, b"\xab\xcd\xff\xff\xff\xff"),
    "WINDOW_UPDATE on a closed stream": frame(WINDOW_UPDATE, 0, 3, b"\x00\x00\x00\x01"),
    "RST_STREAM on a closed stream": frame(RST_STREAM, 0, 3, b"\x00\x00\x00\x08"),
    "PRIORITY on an idle stream": frame(PRIORITY, 0, 99, b"\x00\x00\x00\x01\x00"),
    "PRIORITY on a closed stream": frame(PRIORITY, 0, 3, b"\x80\x00\x00\x01\xff"),
    "reserved bits": frame(WINDOW_UPDATE, 0, 1, b"\x80\x00\x00\x01") + frame(DATA, 0, 2**31 + 1, b"x"),
    "undefined flags": frame(DATA, 0xF0, 1, b"x"),
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_is_to_be_ignored(talk: Talk, name: str) -> None:
    heard = talk.say(IGNORED[name])
    assert not [one for one in heard if one.kind in ("GOAWAY", "RST_STREAM")]
    assert not talk.conn.closed


def test_the_first_frame_must_be_settings() -> None:
    conn = NotedClient()
    conn.start()
    buf = bytearray(frame(PING, 0, 0, b"12345678"))
    assert conn.feed(buf, 0, len(buf), 0.0) == len(buf)
    assert conn.closed
    assert conn.fault == "first frame is not SETTINGS"


def test_an_unfinished_frame_is_left_to_the_caller(talk: Talk) -> None:
    buf = bytearray(b"??" + frame(DATA, 0, 1, b"one") + frame(DATA, 0, 1, b"two"))
    for end in range(2, 14):
        assert talk.conn.feed(buf, 2, end, 0.0) == 2
    assert talk.conn.feed(buf, 2, 14 + 11, 0.0) == 14
    assert talk.conn.feed(buf, 14, len(buf), 0.0) == len(buf)
    assert talk.events == [("data", 1, b"one", False), ("data", 1, b"two", False)]


def test_ping_is_answered_with_its_content(talk: Talk) -> None:
    heard = talk.say(talk.voice.ping(b"abcdefgh") + talk.voice.ping(b"ijklmnop", ack=True))
    assert [(one.kind, one.data) for one in heard] == [("PING_ACK", b"abcdefgh")]
    assert talk.events == [("pong", b"ijklmnop")]


def test_settings_are_acknowledged_in_order_with_data() -> None:
    """The window of the voice changes with the ACK that it hears, so a wrong order would overrun it."""
    talk = Talk(NotedServer())
    open_stream(talk, 1, end=True)
    conn = talk.conn
    stream = conn.streams[1]
    conn.send_headers(stream, b"\x88", False)
    conn.send_data(stream, b"a" * 1_000, False)
    talk.say(talk.voice.settings({4: 500}))
    conn.send_data(stream, b"b" * 1_000, False)
    assert stream.send_window == -500
    talk.say(talk.voice.window(1, 600))
    assert sum(len(one.data) for one in talk.voice.heard if one.kind == "DATA") == 1_100


def test_the_connection_s_window_is_credited_on_receipt() -> None:
    talk = Talk(NotedServer(Limits(connection_window_bytes=100_000)))
    talk.conn.limits = Limits(connection_window_bytes=100_000, max_concurrent_streams=10)
    ids = range(1, 13, 2)
    for stream_id in ids:
        open_stream(talk, stream_id)
    for stream_id in ids:
        for _ in range(3):
            talk.say(talk.voice.data(stream_id, b"x" * 16_384))
            assert talk.voice.own_conn_window >= 50_000
    assert not talk.conn.closed


def test_padding_counts_for_the_windows_and_is_given_back(talk: Talk) -> None:
    stream = talk.conn.streams[1]
    before = stream.recv_window
    talk.say(talk.voice.data(1, b"abc", pad=100))
    assert before - stream.recv_window == 104
    assert stream.uncredited == 101
    assert talk.events == [("data", 1, b"abc", False)]


def test_a_reset_stream_s_late_frames_are_dropped(talk: Talk) -> None:
    talk.conn.reset(talk.conn.streams[1], 8)
    late = talk.voice.data(1, b"late") + talk.voice.headers(1, [("x", "y")]) + talk.voice.window(1, 5)
    heard = talk.say(late + talk.voice.data(1, b"", end=True))
    assert [one.kind for one in heard] == ["RST_STREAM"]
    assert not talk.conn.closed
    assert not talk.conn.limbo
    talk.say(frame(DATA, 0, 1, b"x"))
    assert talk.fault_code() == STREAM_CLOSED


def test_the_table_stays_right_through_blocks_that_nobody_wants(talk: Talk) -> None:
    talk.conn.reset(talk.conn.streams[1], 8)
    talk.say(talk.voice.headers(1, [("new-name", "new-value")], end=True))
    talk.say(
        talk.voice.headers(
            7, [*GET_REQUEST[:2], (":authority", "a"), (":path", "/new-value"), ("new-name", "new-value")], end=True
        )
    )
    assert talk.events[-1] == ("request", 7, b"/new-value", True)


def test_a_fault_ends_the_connection_once(talk: Talk) -> None:
    talk.conn.fail(PROTOCOL_ERROR, "one")
    talk.conn.fail(PROTOCOL_ERROR, "two")
    talk.hear()
    assert [one.data for one in talk.voice.heard if one.kind == "GOAWAY"] == [b"one"]
    assert talk.conn.fault == "one"


def test_goaway_never_increases(talk: Talk) -> None:
    for last in (2**31 - 1, 5, 9):
        talk.conn.goaway(last, 0)
    assert [one.number for one in talk.hear() if one.kind == "GOAWAY"] == [2**31 - 1, 5, 5]


@pytest.mark.parametrize("conn", [NotedServer, NotedClient])
def test_the_opening(conn: type[NotedServer] | type[NotedClient]) -> None:
    talk = Talk(conn())
    assert [one.kind for one in talk.voice.heard] == ["SETTINGS", "WINDOW_UPDATE", "SETTINGS_ACK"]
    assert talk.voice.own_conn_window == 4 * 2**20
    assert talk.voice.own_initial_window == 65_536
    assert talk.conn.dirty is False


def test_a_client_takes_frames_of_any_stream_that_it_has_opened() -> None:
    talk = Talk(NotedClient())
    stream = talk.conn.open(talk.now)
    talk.conn.send_headers(stream, GET, True)
    talk.conn.reset(stream, 8)
    talk.say(talk.voice.headers(1, OK) + talk.voice.data(1, b"x", end=True) + frame(DATA, 0, 1, b"y"))
    assert not talk.conn.closed
    talk.say(frame(DATA, 0, 3, b"x"))
    assert talk.fault_code() == PROTOCOL_ERROR
