"""The sending half: windows, queues, and who gets what of the connection's window."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest

from proxy.codec.sender import append_piece
from proxy.codec.stream import Stream
from tests.playbook.voice import GET_REQUEST
from tests.unit.proxy.codec.roles import NotedServer, Talk

OpenStream = Callable[[int], Stream]


@pytest.fixture
def talk() -> Talk:
    return Talk(NotedServer())


def open_stream(talk: Talk, stream_id: int = 1) -> Stream:
    """A stream whose response has begun."""
    talk.say(talk.voice.headers(stream_id, GET_REQUEST, end=True))
    stream: Stream = talk.conn.streams[stream_id]
    talk.conn.send_headers(stream, b"\x88", False)
    return stream


def sent(talk: Talk, stream_id: int) -> bytes:
    talk.hear()
    return b"".join(one.data for one in talk.voice.heard if one.kind == "DATA" and one.stream_id == stream_id)


def test_what_exceeds_the_window_waits_in_order(talk: Talk) -> None:
    talk.say(talk.voice.settings({4: 10}))
    stream = open_stream(talk)
    talk.conn.send_data(stream, b"abcdef", False)
    talk.conn.send_data(stream, b"ghijkl", False)
    talk.conn.send_data(stream, b"mno", True)
    assert sent(talk, 1) == b"abcdefghij"
    talk.say(talk.voice.window(1, 1))
    assert sent(talk, 1) == b"abcdefghijk"
    talk.say(talk.voice.window(1, 100))
    assert sent(talk, 1) == b"abcdefghijklmno"
    assert not talk.conn.streams
    assert not talk.conn.waiting
    assert talk.events[-1] == ("closed", 1)


@pytest.mark.parametrize("blocked", [False, True])
def test_an_empty_end_behind_a_queue(talk: Talk, blocked: bool) -> None:
    talk.say(talk.voice.settings({4: 3}))
    stream = open_stream(talk)
    talk.conn.send_data(stream, b"abcdef", False)
    talk.conn.blocked = blocked
    talk.conn.send_data(stream, b"", True)
    assert 1 not in talk.voice.ended
    talk.say(talk.voice.window(1, 3))
    talk.conn.unblock()
    assert sent(talk, 1) == b"abcdef"
    assert 1 in talk.voice.ended
    assert not talk.conn.streams


def test_trailers_wait_behind_the_body_and_end_the_stream(talk: Talk) -> None:
    talk.say(talk.voice.settings({4: 3}))
    stream = open_stream(talk)
    talk.conn.send_data(stream, b"abcdef", False)
    talk.conn.send_headers(stream, b"\x00\x01x\x01y", True)
    talk.hear()
    assert 1 not in talk.voice.ended
    talk.say(talk.voice.window(1, 3))
    assert talk.voice.heard[-1].headers == [("x", "y")]
    assert talk.voice.heard[-1].end
    assert not talk.conn.streams


def test_a_blocked_socket_gets_headers_but_no_bodies(talk: Talk) -> None:
    stream = open_stream(talk)
    talk.conn.blocked = True
    talk.conn.send_data(stream, b"body", False)
    assert sent(talk, 1) == b""
    other = open_stream(talk, 3)
    talk.conn.send_headers(other, b"\x00\x01x\x01y", True)
    talk.hear()
    assert 3 in talk.voice.ended
    assert talk.conn.backlog > 0
    talk.conn.unblock()
    assert sent(talk, 1) == b"body"
    assert talk.conn.backlog == 0


def test_one_flush_is_bounded_and_the_rest_is_pumped(talk: Talk) -> None:
    talk.say(talk.voice.settings({4: 2**30}) + talk.voice.window(0, 2**30))
    stream = open_stream(talk)
    for _ in range(100):
        talk.conn.send_data(stream, b"x" * 16_384, False)
    most = talk.conn.unsent
    assert 16_384 < most <= 300_000
    rounds = 0
    while talk.conn.waiting:
        talk.hear()
        talk.conn.pump()
        assert talk.conn.unsent <= most
        rounds += 1
    assert sent(talk, 1) == b"x" * 1_638_400
    assert rounds == -(-(1_638_400 - most) // most)


def test_the_connection_s_window_is_shared_a_frame_each(talk: Talk) -> None:
    talk.say(talk.voice.settings({4: 2**30}))
    streams = [open_stream(talk, stream_id) for stream_id in (1, 3, 5)]
    talk.conn.send_data(streams[0], b"x" * 16_384, False)
    while talk.conn.send_window:
        talk.conn.send_data(streams[0], b"x" * min(16_384, talk.conn.send_window), False)
    for stream in streams:
        for _ in range(10):
            talk.conn.send_data(stream, b"y" * 16_384, False)
    before = [len(sent(talk, stream.id)) for stream in streams]
    for _ in range(30):
        talk.say(talk.voice.window(0, 5_000))
    gained = [len(sent(talk, stream.id)) - had for stream, had in zip(streams, before, strict=True)]
    assert gained == [50_000] * 3


def test_a_dropped_stream_sends_nothing_more(talk: Talk) -> None:
    talk.say(talk.voice.settings({4: 3}))
    stream = open_stream(talk)
    talk.conn.send_data(stream, b"abcdef", False)
    talk.conn.send_headers(stream, b"\x00\x01x\x01y", True)
    talk.conn.reset(stream, 2)
    talk.conn.reset(stream, 2)
    talk.say(talk.voice.settings({4: 1_000}))
    assert sent(talk, 1) == b"abc"
    assert [one.code for one in talk.voice.heard if one.kind == "RST_STREAM"] == [2]
    assert not talk.conn.waiting
    assert talk.events.count(("closed", 1)) == 1


def test_the_first_block_resets_the_peer_s_table(talk: Talk) -> None:
    """nghttpd with a table of 0 answers COMPRESSION_ERROR without it."""
    talk.say(talk.voice.headers(1, GET_REQUEST, end=True) + talk.voice.headers(3, GET_REQUEST, end=True))
    conn = talk.conn
    conn.send_headers(conn.streams[1], b"\x88", True)
    conn.send_headers(conn.streams[3], b"\x88", True)
    first, second = conn.take().split(b"\x05\x00\x00\x00\x01")[1].split(b"\x00\x00\x01\x01\x05\x00\x00\x00\x03")
    assert (first, second) == (b"\x20\x88", b"\x88")


def test_a_block_larger_than_a_frame_is_continued(talk: Talk) -> None:
    talk.say(talk.voice.headers(1, GET_REQUEST, end=True))
    fields = b"".join(b"\x00\x01" + bytes((97 + at,)) + b"\x7f\xa1\x1e" + b"v" * 4_000 for at in range(10))
    talk.conn.send_headers(talk.conn.streams[1], b"\x88" + fields, True)
    talk.hear()
    assert len(talk.voice.heard[-1].headers) == 11


def test_tiny_pieces_are_joined() -> None:
    pieces: deque[bytes] = deque()
    for at in range(10_000):
        append_piece(pieces, at.to_bytes(2, "big"))
    assert len(pieces) == 5
    assert b"".join(pieces) == b"".join(at.to_bytes(2, "big") for at in range(10_000))
    append_piece(pieces, bytes(16_384))
    assert len(pieces[-1]) == 16_384
