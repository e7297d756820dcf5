from __future__ import annotations

import pytest

from proxy.codec.stream import Stream
from tests.playbook.voice import OK
from tests.unit.proxy.codec.roles import NotedClient, Talk, frame

GET = b"\x82\x86\x84\x41\x04echo"
PROTOCOL_ERROR = 1


@pytest.fixture
def talk() -> Talk:
    return Talk(NotedClient())


def request(talk: Talk, end: bool = True) -> Stream:
    stream: Stream = talk.conn.open(talk.now)
    talk.conn.send_headers(stream, GET, end)
    talk.hear()
    return stream


def test_the_opening_turns_push_off() -> None:
    conn = NotedClient()
    conn.start()
    data = conn.take()
    assert data.startswith(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00"
    )


def test_ids_are_odd_and_rise(talk: Talk) -> None:
    assert [request(talk).id for _ in range(3)] == [1, 3, 5]


def test_a_response_with_everything(talk: Talk) -> None:
    request(talk)
    voice = talk.voice
    talk.say(voice.headers(1, [(":status", "100")]) + voice.headers(1, [(":status", "103"), ("link", "x")]))
    talk.say(voice.headers(1, OK) + voice.data(1, b"body") + voice.headers(1, [("grpc-status", "0")], end=True))
    assert talk.events == [
        ("response", 1, 100, False),
        ("response", 1, 103, False),
        ("response", 1, 200, False),
        ("data", 1, b"body", False),
        ("trailers", 1),
        ("closed", 1),
    ]
    assert talk.conn.open_streams == 0


def test_a_response_before_the_request_is_complete(talk: Talk) -> None:
    stream = request(talk, end=False)
    talk.say(talk.voice.headers(1, OK, end=True))
    assert talk.conn.streams == {1: stream}
    talk.conn.send_data(stream, b"rest", True)
    assert not talk.conn.streams
    assert talk.events[-1] == ("closed", 1)


FAULTS = {
    "DATA before HEADERS": [frame(0, 0, 1, b"x")],
    "no status": [frame(1, 4, 1, b"\x00\x01x\x01y")],
    "status 101": [frame(1, 4, 1, b"\x08\x03101")],
    "interim with an end": [frame(1, 5, 1, b"\x08\x03100")],
    "two final blocks": [frame(1, 4, 1, b"\x88"), frame(1, 4, 1, b"\x88")],
    "a request": [frame(1, 4, 1, GET)],
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_a_response_end_the_stream_alone(talk: Talk, name: str) -> None:
    request(talk)
    request(talk)
    heard = [one for data in FAULTS[name] for one in talk.say(data)]
    assert [(one.kind, one.stream_id, one.code) for one in heard] == [("RST_STREAM", 1, PROTOCOL_ERROR)]
    assert ("failed", 1, PROTOCOL_ERROR) in talk.events
    assert list(talk.conn.streams) == [3]


@pytest.mark.parametrize("stream_id", [2, 5])
def test_streams_that_were_never_ours_are_a_fault(talk: Talk, stream_id: int) -> None:
    request(talk)
    talk.say(frame(1, 4, stream_id, b"\x88"))
    assert talk.fault_code() == PROTOCOL_ERROR


def test_room_before_and_after_the_settings() -> None:
    conn = NotedClient()
    assert conn.has_room()
    for _ in range(100):
        conn.open(0.0)
    assert not conn.has_room()
    talk = Talk(conn)
    assert talk.conn.has_room()
    talk.say(talk.voice.settings({3: 100}))
    assert not talk.conn.has_room()


def test_no_room_without_ids(talk: Talk) -> None:
    talk.conn.next_id = 2**31 - 1
    assert talk.conn.has_room()
    stream = request(talk)
    assert stream.id == 2**31 - 1
    assert not talk.conn.has_room()
    talk.say(talk.voice.headers(2**31 - 1, OK, end=True))
    assert talk.events[-1] == ("closed", 2**31 - 1)


def test_no_room_when_closed_or_behind_a_socket_that_takes_nothing(talk: Talk) -> None:
    talk.conn.blocked = True
    for _ in range(40):
        talk.conn.send_headers(talk.conn.open(0.0), GET + b"\x00\x01x\x7f\x81\xe9\x01" + b"v" * 30_000, False)
        talk.conn.take()
    assert not talk.conn.has_room()
    talk.conn.unblock()
    assert talk.conn.has_room()
    talk.conn.close()
    assert not talk.conn.has_room()


@pytest.mark.parametrize(("status", "length"), [("304", "99"), ("204", "99")])
def test_a_response_without_a_body_may_announce_one(talk: Talk, status: str, length: str) -> None:
    request(talk)
    talk.say(
        talk.voice.headers(1, [(":status", status), ("content-length", length)]) + talk.voice.data(1, b"", end=True)
    )
    assert talk.events[-1] == ("closed", 1)


def test_goaway_is_the_owner_s_business(talk: Talk) -> None:
    request(talk)
    talk.say(talk.voice.goaway(2**31 - 1, 0) + talk.voice.goaway(0, 2))
    assert talk.events == [("goaway", 2**31 - 1, 0), ("goaway", 0, 2)]
    assert list(talk.conn.streams) == [1]


def test_a_block_that_is_too_large_ends_its_stream_alone(talk: Talk) -> None:
    request(talk)
    request(talk)
    huge = [(":status", "200"), *[(f"x-{at}", "y" * 10_000) for at in range(8)]]
    heard = talk.say(talk.voice.headers(1, huge, indexed=False))
    assert [(one.kind, one.stream_id, one.code) for one in heard] == [("RST_STREAM", 1, PROTOCOL_ERROR)]
    talk.say(talk.voice.headers(3, OK, end=True))
    assert talk.events[-2:] == [("response", 3, 200, True), ("closed", 3)]


def test_a_block_without_end_ends_the_connection(talk: Talk) -> None:
    request(talk)
    talk.say(frame(1, 0, 1, b"\x88") + frame(9, 0, 1, bytes(16_384)) * 16)
    assert talk.fault_code() == 11
