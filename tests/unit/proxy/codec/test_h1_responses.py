from __future__ import annotations

import pytest

from proxy.codec.h1_head import CHUNKED, LENGTH, NO_BODY, UNTIL_CLOSE
from tests.unit.proxy.codec.h1_roles import ClientRecorder, feed, read_responses

OK = b"HTTP/1.1 200 OK\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n"
WEBSOCKET = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: 1\r\n\r\n"


def client(request: bytes = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n") -> ClientRecorder:
    conn = ClientRecorder()
    conn.send_request(conn.memo.request(request))
    return conn


@pytest.mark.parametrize(
    ("head", "framing"),
    [
        (OK + b"Content-Length: 3\r\n\r\n", LENGTH),
        (OK + b"Content-Length: 0\r\n\r\n", NO_BODY),
        (OK + b"Content-Length: 3\r\nX: 1\r\nContent-Length: 3\r\n\r\n", LENGTH),
        (OK + b"Content-Length: 3\r\nTransfer-Encoding: Identity\r\n\r\n", LENGTH),
        (OK + b"Transfer-Encoding: identity\r\n\r\n", UNTIL_CLOSE),
        (OK + b"Set-Cookie: a=b\r\n" * 999 + b"Content-Length: 3\r\n\r\n", LENGTH),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", CHUNKED),
        (OK + b"\r\n", UNTIL_CLOSE),
        (b"HTTP/1.0 200 OK\r\n\r\n", UNTIL_CLOSE),
        (b"HTTP/1.1 204 No Content\r\n\r\n", NO_BODY),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", NO_BODY),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", NO_BODY),
        (b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n", LENGTH),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", LENGTH),
        (b"HTTP/1.1 999 Odd\r\nContent-Length: 1\r\n\r\n", LENGTH),
    ],
)
def test_how_a_body_ends(head: bytes, framing: int) -> None:
    """RFC 9112, section 6.3."""
    events = read_responses(head)
    assert events[0][2] == framing
    assert (events[-1][0] == "end") == (framing == NO_BODY)


@pytest.mark.parametrize(
    "head",
    [
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\nTransfer-Encoding: gzip\r\n\r\n",
        OK + b"Transfer-Encoding: identity, chunked\r\n\r\n",
        OK + b"a:\r\n" * 1_001,
        OK + b"Transfer-Encoding: chunked\r\n\r\n1 a\r\na\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n 1\r\na\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1 \na\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n1" + b" " * 1_030,
        OK + b"Content-Length: a\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"X : 1\r\n\r\n",
        OK + b"X: 1\r\n 2\r\n\r\n",
        OK + b"X: 1\nY: 2\r\n\r\n",
        OK + b"X: \0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\r\n" + OK + b"\r\n",
        SWITCH,
        OK + b"X: " + b"a" * 62_000,
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 101,
    ],
)
def test_what_is_no_response(head: bytes) -> None:
    assert read_responses(head)[-1][0] == "fault"


def test_a_response_goes_on_without_what_is_for_this_hop() -> None:
    hop = b"Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5, max=100\r\nX-Hop: 1\r\n"
    raw = OK + hop + b"Content-Length: 2\r\nX: 1\r\n\r\n"
    conn = client()
    feed(conn, raw + b"ab")
    assert conn.events == [
        ("response", 200, LENGTH, OK + b"Content-Length: 2\r\nX: 1\r\n\r\n"),
        ("data", b"ab"),
        ("end", b""),
    ]
    assert conn.keep_alive_s == 5.0
    assert conn.reusable


def test_nothing_to_take_out_means_the_same_bytes() -> None:
    raw = b"HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length:  2\r\n\r\n"
    assert read_responses(raw)[0][3] == raw


def test_the_answer_to_head_has_no_body_whatever_it_says() -> None:
    conn = client(HEAD)
    feed(conn, OK + b"Content-Length: 5\r\n\r\n")
    assert conn.events == [("response", 200, NO_BODY, OK + b"Content-Length: 5\r\n\r\n"), ("end", b"")]
    assert conn.reusable


def test_what_a_response_says_too_often_goes_on_once() -> None:
    raw = OK + b"Content-Length: 3\r\nX: 1\r\nContent-Length: 3\r\nTransfer-Encoding: identity\r\n\r\n"
    assert read_responses(raw)[0][3] == OK + b"Content-Length: 3\r\nX: 1\r\n\r\n"


def test_blanks_after_a_chunks_size() -> None:
    """Some servers pad it, so that all sizes are as long."""
    body = b"3  \r\nabc\r\n2 \t;x=y\r\nde\r\n0 \r\n\r\n"
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    assert read_responses(head + body)[1:] == [("data", b"abcde"), ("end", b"")]
    single = [body[at : at + 1] for at in range(len(body))]
    assert read_responses(head, *single)[1:] == [("data", b"abcde"), ("end", b"")]


def test_a_request_that_says_close_is_the_last() -> None:
    conn = client(b"GET / HTTP/1.0\r\n\r\n")
    feed(conn, OK + b"Content-Length: 0\r\n\r\n")
    assert not conn.reusable


def test_lengths_where_they_must_not_be() -> None:
    raw = b"HTTP/1.1 204 No\r\nContent-Length: 0\r\nX: 1\r\n\r\n"
    assert read_responses(raw)[0][3] == b"HTTP/1.1 204 No\r\nX: 1\r\n\r\n"


def test_interim_responses_come_before_the_response() -> None:
    raw = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n"
    )
    assert [event[:2] for event in read_responses(raw)] == [
        ("interim", 100),
        ("interim", 103),
        ("response", 200),
        ("end", b""),
    ]


def test_the_end_of_the_connection_ends_a_body_without_length() -> None:
    conn = client()
    feed(conn, OK + b"\r\nab", b"c")
    conn.peer_ended(2.0)
    assert conn.events[1:] == [("data", b"abc"), ("end", b"")]
    assert conn.closed
    assert not conn.reusable


@pytest.mark.parametrize(
    "beginning",
    [b"", OK, OK + b"Content-Length: 3\r\n\r\nab", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"],
)
def test_the_end_of_the_connection_ends_nothing_else(beginning: bytes) -> None:
    conn = client()
    feed(conn, beginning)
    conn.peer_ended(2.0)
    assert conn.events[-1][0] == "lost"
    assert conn.closed


@pytest.mark.parametrize(
    "response", [b"Connection: close\r\nContent-Length: 0\r\n\r\n", b"Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"]
)
def test_a_connection_that_is_not_used_again(response: bytes) -> None:
    conn = client()
    feed(conn, OK + response)
    assert not conn.reusable


def test_http_1_0_keeps_the_connection_where_it_says_so() -> None:
    for line, reusable in ((b"", False), (b"Connection: keep-alive\r\n", True)):
        conn = client()
        feed(conn, b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n" + line + b"\r\n")
        assert conn.reusable is reusable
        assert conn.events[0][3].startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_byte_without_a_request_is_a_fault() -> None:
    conn = ClientRecorder()
    feed(conn, b"H")
    assert conn.events == [("fault", "bytes after a response")]


def test_websocket() -> None:
    conn = client(WEBSOCKET)
    feed(conn, SWITCH + b"\x81\x00", b"\r\n\r\n")
    conn.peer_ended(2.0)
    encoded = b"HTTP/1.1 101 Switching Protocols\r\nX: 1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    assert conn.events == [("switched", encoded), ("data", b"\x81\x00\r\n\r\n"), ("tunnel ended",)]
    assert not conn.closed


def test_websocket_refused() -> None:
    conn = client(WEBSOCKET)
    feed(conn, b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
    assert conn.events[0][:2] == ("response", 403)
    assert conn.reusable
    other = client(WEBSOCKET)
    feed(other, SWITCH.replace(b"websocket", b"h2c"))
    assert other.events[0][0] == "fault"


def test_bodies_as_they_are_sent() -> None:
    conn = ClientRecorder()
    conn.send_head(b"H", CHUNKED)
    conn.send_data(b"x" * 17)
    conn.send_data(b"")
    conn.send_end(b"A: 1\r\n")
    assert conn.take() == b"H11\r\n" + b"x" * 17 + b"\r\n0\r\nA: 1\r\n\r\n"
    conn.send_head(b"H", LENGTH)
    conn.send_data(b"ab")
    conn.send_end(b"A: 1\r\n")
    assert conn.take() == b"Hab"
