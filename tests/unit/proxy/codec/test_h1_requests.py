from __future__ import annotations

import random

import pytest

from proxy.codec.h1_fields import TOKEN
from proxy.codec.h1_memo import ENTRY_BYTES, HeadMemo
from proxy.codec.h1_request import read_request
from proxy.codec.limits import Limits
from tests.unit.proxy.codec.h1_roles import ServerRecorder, feed, read_requests, read_responses

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"


def only(*pieces: bytes) -> bytes:
    """The head for the endpoint, of one request."""
    return bytes(read_requests(*pieces)[0][4])


def fault(head: bytes) -> tuple[int, str]:
    events = read_requests(head)
    assert [event[0] for event in events] == ["fault"], events
    return int(events[0][1]), str(events[0][2])


def test_a_plain_request_goes_on_byte_for_byte() -> None:
    raw = b"GET /a?b HTTP/1.1\r\nHost: Shop:80\r\nX-Y:  z \r\nx-y:\r\n\r\n"
    assert read_requests(raw) == [("request", b"GET", b"Shop:80", b"/a?b", raw, False), ("end", b"")]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Content-Length: 1\r\nContent-Length: 1\r\n", 400),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n", 400),
        (b"Content-Length: 1, 1\r\n", 400),
        (b"Content-Length: +1\r\n", 400),
        (b"Content-Length: 0x1\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: 1 1\r\n", 400),
        (b"Content-Length:\r\n", 400),
        (b"Content-Length: 99999999999999999999\r\n", 400),
        (b"Content-Length: \xb2\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked, chunked\r\n", 501),
        (b"Transfer-Encoding: gzip, chunked\r\n", 501),
        (b"Transfer-Encoding: identity\r\n", 501),
        (b"Transfer-Encoding: xchunked\r\n", 501),
        (b"Transfer-Encoding: \x0bchunked\r\n", 400),
        (b"Transfer-Encoding: chunked;q=1\r\n", 501),
        (b"Transfer-Encoding:\r\n", 501),
        (b"Transfer-Encoding : chunked\r\n", 400),
        (b"Transfer-Encoding\t: chunked\r\n", 400),
        (b"X: 1\r\n folded\r\n", 400),
        (b"X: 1\r\n\tfolded\r\n", 400),
        (b" X: 1\r\n", 400),
        (b"X: 1\n", 400),
        (b"X: 1\nY: 2\r\n", 400),
        (b"X: 1\rY: 2\r\n", 400),
        (b"X: 1\r\r\n", 400),
        (b"X: a\x00b\r\n", 400),
        (b"X: a\x7fb\r\n", 400),
        (b"X: a\x1bb\r\n", 400),
        (b"X\x00: a\r\n", 400),
        (b"X\xff: a\r\n", 400),
        (b"X(: a\r\n", 400),
        (b": a\r\n", 400),
        (b"no colon\r\n", 400),
        (b"Host: b\r\n", 400),
        (b"Host: a\r\n", 400),
        (b"Connection: content-length\r\n", 400),
        (b"Connection: close, Host\r\n", 400),
        (b"Connection: a b\r\n", 400),
        (b"X: y\r\n" * 100, 431),
    ],
)
def test_what_can_be_understood_in_two_ways_is_refused(lines: bytes, status: int) -> None:
    assert fault(GET + lines + b"\r\n")[0] == status


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/1.10", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1,1", 400),
        (b"GET /", 400),
        (b"GET", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET\t/\tHTTP/1.1", 400),
        (b"GET /\t HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"\tGET / HTTP/1.1", 400),
        (b"G(T / HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET https://a/ HTTP/1.1", 400),
        (b"GET ftp://a/ HTTP/1.1", 400),
        (b"GET http:///x HTTP/1.1", 400),
        (b"GET http://u@a/ HTTP/1.1", 400),
        (b"PRI * HTTP/2.0", 505),
        (b"\x16\x03\x01 / HTTP/1.1", 400),
    ],
)
def test_request_lines_that_are_none(line: bytes, status: int) -> None:
    assert fault(line + b"\r\nHost: a\r\n\r\n")[0] == status


@pytest.mark.parametrize("host", [b"a b", b"a,b", b"a/b", b"u@a", b"a\xff", b"a?b", b"a#b", b"a\\b"])
def test_hosts_that_are_none(host: bytes) -> None:
    assert fault(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n") == (400, "illegal character in the authority")
    assert fault(b"GET http://b/ HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")[0] == 400


def test_host_is_required_since_http_1_1() -> None:
    assert fault(b"GET / HTTP/1.1\r\n\r\n") == (400, "no host field")


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n", b"Connection: close\r\nTE: trailers\r\n"])
def test_without_a_host_a_request_stays_what_it_is(connection: bytes) -> None:
    """Checks of load balancers are such; in HTTP/1.1 it would be refused, and so it would with an empty Host."""
    event = read_requests(b"GET /a HTTP/1.0\r\nX: 1\r\n" + connection + b"\r\n")[0]
    assert event[:4] == ("request", b"GET", b"", b"/a")
    assert event[4] == b"GET /a HTTP/1.0\r\nX: 1\r\nconnection: close\r\n\r\n"
    assert only(b"GET http://b/a HTTP/1.0\r\n\r\n") == b"GET /a HTTP/1.1\r\nhost: b\r\n\r\n"


def test_an_empty_host_is_one() -> None:
    assert read_requests(b"GET / HTTP/1.1\r\nHost:\r\n\r\n")[0][2] == b""


@pytest.mark.parametrize(
    ("target", "authority", "path"),
    [
        (b"http://shop/a?b", b"shop", b"/a?b"),
        (b"HTTP://shop:81", b"shop:81", b"/"),
        (b"http://shop?b=/c", b"shop", b"/?b=/c"),
        (b"http://[::1]:80/", b"[::1]:80", b"/"),
    ],
)
def test_an_absolute_target_wins_over_host(target: bytes, authority: bytes, path: bytes) -> None:
    """RFC 9112, section 3.2.2."""
    event = read_requests(b"GET " + target + b" HTTP/1.1\r\nX: 1\r\nHost: evil\r\nY: 2\r\n\r\n")[0]
    encoded = b"GET " + path + b" HTTP/1.1\r\nhost: " + authority + b"\r\nX: 1\r\nY: 2\r\n\r\n"
    assert event == ("request", b"GET", authority, path, encoded, False)


def test_options_without_a_path_is_for_the_whole_server() -> None:
    assert read_requests(b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n")[0][3] == b"*"
    assert read_requests(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")[0][3] == b"*"


def test_what_is_for_this_hop_ends_here() -> None:
    raw = (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Secret, keep-alive, Upgrade, HTTP2-Settings\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nX-Secret: 1\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABk\r\nTE: gzip\r\nX-Public: 2\r\n\r\n"
    )
    assert only(raw) == b"GET / HTTP/1.1\r\nHost: a\r\nX-Public: 2\r\n\r\n"


def test_te_trailers_goes_on() -> None:
    assert only(GET + b"TE: gzip;q=1, trailers\r\nConnection: TE\r\n\r\n").endswith(
        b"Host: a\r\nte: trailers\r\nconnection: te\r\n\r\n"
    )


def test_only_websocket_is_an_upgrade_that_goes_on() -> None:
    upgrade = GET + b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n"
    assert only(upgrade).endswith(
        b"Host: a\r\nSec-WebSocket-Key: k\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    )
    memo = HeadMemo()
    assert memo.request(upgrade).websocket
    for other in (
        GET + b"Upgrade: websocket\r\n\r\n",
        GET + b"Connection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
        GET + b"Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n\r\n",
        upgrade.replace(b"GET", b"POST"),
        upgrade.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ):
        head = memo.request(other)
        assert not head.websocket
        assert b"pgrade" not in head.encoded


def test_keeping_the_connection() -> None:
    memo = HeadMemo()
    assert not memo.request(GET + b"\r\n").close
    assert memo.request(GET + b"Connection: x, Close\r\n\r\n").close
    old = b"GET / HTTP/1.0\r\nHost: a\r\n"
    assert memo.request(old + b"\r\n").close
    assert not memo.request(old + b"Connection: Keep-Alive\r\n\r\n").close


def test_a_body_by_length() -> None:
    conn = ServerRecorder()
    feed(conn, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", b"c" + GET + b"\r\n")
    assert [event[0] for event in conn.events] == ["request", "data", "end", "request", "end"]
    assert conn.events[1] == ("data", b"abc")


@pytest.mark.parametrize(
    ("body", "data", "trailers"),
    [
        (b"0\r\n\r\n", b"", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc", b""),
        (b"003;a=b;c\r\nabc\r\n00;x\r\n\r\n", b"abc", b""),
        (b"A\r\n0123456789\r\nb\r\n\r\n\r\n\r\n\r\n\r\n\0\r\n0\r\n\r\n", b"0123456789\r\n\r\n\r\n\r\n\r\n\0", b""),
        (b"0\r\nX-A: 1\r\nConnection: x\r\nX-B:2\r\n\r\n", b"", b"X-A: 1\r\nX-B:2\r\n"),
    ],
)
def test_a_chunked_body(body: bytes, data: bytes, trailers: bytes) -> None:
    events = read_requests(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n" + body)
    encoded = b"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    assert events[0] == ("request", b"POST", b"a", b"/", encoded, False)
    assert events[1:] == ([("data", data)] if data else []) + [("end", trailers)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\r\n", 400),
        (b"g\r\n", 400),
        (b"-1\r\n", 400),
        (b"+1\r\n", 400),
        (b"0x1\r\n", 400),
        (b" 1\r\n", 400),
        (b"1 \r\n", 400),
        (b"1 ;a\r\n", 400),
        (b"1\n", 400),
        (b"1\r\r\n", 400),
        (b"1;a\nb\r\n", 400),
        (b"1;\0\r\n", 400),
        (b"1234567890abcdef\r\n", 400),
        (b"1\r\nab\r\n", 400),
        (b"1\r\na\n", 400),
        (b"1\r\na\rb", 400),
        (b"1;" + b"x" * 1100, 400),
        (b"1;" + b"x" * 1000 + b"\r\n", 0),
        ((b"1;" + b"x" * 1000 + b"\r\na\r\n") * 18, 400),
        (b"0\r\n x: 1\r\n\r\n", 400),
        (b"0\r\nx: 1\n\r\n\r\n", 400),
        (b"0\r\nContent-Length: 1\r\n\r\n", 400),
        (b"0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"0\r\nHost: b\r\n\r\n", 400),
        (b"0\r\n" + b"x: 1\r\n" * 101 + b"\r\n", 431),
        (b"0\r\nx: " + b"1" * 70_000, 431),
    ],
)
def test_chunks_that_are_none(body: bytes, status: int) -> None:
    events = read_requests(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert [event[1] for event in events if event[0] == "fault"] == ([status] if status else [])


def test_chunks_that_come_together_are_one_piece() -> None:
    """What is done with a piece costs more than to read it; after 1,024 chunks others come first."""
    pieces: list[int] = []

    class Pieces(ServerRecorder):
        def data_received(self, piece: bytes) -> None:
            pieces.append(len(piece))

    conn = Pieces()
    feed(conn, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    tail = feed(conn, b"1\r\na\r\n" * 3_000 + b"2\r\na")
    assert (pieces, tail) == ([1_024, 1_024, 953], b"")
    feed(conn, b"b\r\n1\r\nc\r\n0\r\n\r\n")
    assert pieces[3:] == [2]
    assert conn.events[-1] == ("end", b"")


def test_what_comes_before_a_fault_is_passed_on() -> None:
    events = read_requests(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\nx\r\n")
    assert [event[:2] for event in events[1:]] == [("data", b"ab"), ("fault", 400)]


def test_a_long_line_is_too_long_however_it_comes() -> None:
    """With all of an answer's blanks and no extension, which only answers may have."""
    for blanks in range(1_015, 1_030):
        body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1" + b" " * blanks + b"\r\na\r\n"
        whole = read_responses(body)
        assert whole == read_responses(*(body[at : at + 1] for at in range(len(body)))), blanks


def test_transfer_encoding_is_no_part_of_http_1_0() -> None:
    assert fault(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")[0] == 400


def test_one_empty_line_before_a_request_is_skipped() -> None:
    assert len(read_requests(b"\r\n" + GET + b"\r\n\r\n" + GET + b"\r\n")) == 4
    assert fault(b"\r\n\r\n" + GET + b"\r\n") == (400, "blank before the request")


def test_heads_are_bounded() -> None:
    assert fault(b"GET /" + b"a" * 40_000) == (414, "first line too long")
    assert fault(b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n") == (414, "first line too long")
    assert fault(GET + b"X: " + b"a" * 62_000) == (431, "head too large")
    assert fault(GET + (b"X: " + b"a" * 7_000 + b"\r\n") * 9 + b"\r\n") == (431, "head too large")
    assert read_requests(GET + (b"X: " + b"a" * 6_000 + b"\r\n") * 10 + b"\r\n")[0][0] == "request"


@pytest.mark.parametrize("first", [GET, b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"])
def test_each_byte_of_what_is_not_whole_is_looked_at_once(first: bytes) -> None:
    """Else who sends a head byte by byte costs more with each byte."""
    conn = ServerRecorder()
    tail = feed(conn, first)
    looked = 0
    for piece in (b"X: 1", b"\r", b"\nY: ", *[b"2"] * 500, b"\r\n", b"\r"):
        tail = feed(conn, piece, tail=tail)
        beginning = conn.beginning or (conn.chunks.beginning if conn.chunks else None)
        assert beginning is not None
        assert looked <= beginning.looked
        assert len(tail) - 1 <= beginning.looked <= len(tail)
        looked = beginning.looked
    assert feed(conn, b"\n", tail=tail) == b""
    assert conn.events[-1][0] == "end"
    assert conn.beginning is None


def test_too_many_fields_are_told_before_the_head_is_whole() -> None:
    assert fault(GET + b"X: 1\r\n" * 100) == (431, "too many fields")
    assert fault(GET + b"X: 1\r\n" * 100 + b"\0") == (431, "too many fields")
    assert fault(GET + b"X: 1\r\n" * 99 + b"\0") == (400, "control character in a head")
    assert read_requests(GET + b"X: 1\r\n" * 99) == []
    post = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    assert read_requests(post + b"X: 1\r\n" * 101)[-1] == ("fault", 431, "trailers too large")
    assert len(read_requests(post + b"X: 1\r\n" * 100)) == 1


def test_a_trailer_section_that_is_due_shows() -> None:
    conn = ServerRecorder()
    feed(conn, GET + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
    assert not conn.is_in_trailers()
    tail = feed(conn, b"0\r\n")
    assert conn.is_in_trailers()
    tail = feed(conn, b"X: 1\r\n", tail=tail)
    assert conn.is_in_trailers()
    assert feed(conn, b"\r\n", tail=tail) == b""
    assert not conn.is_in_trailers()


def test_limits_are_those_that_are_set() -> None:
    memo = HeadMemo(Limits(max_header_bytes=100, max_header_fields=2))
    assert read_requests(GET + b"x: 1\r\ny: 2\r\n\r\n", memo=memo)[0][1] == 431
    assert read_requests(GET + b"x: " + b"1" * 100, memo=memo)[0][1] == 431
    memo.configure(Limits())
    assert read_requests(GET + b"x: 1\r\ny: 2\r\n\r\n", memo=memo)[0][0] == "request"


def test_what_is_wrong_is_said_before_the_head_is_whole() -> None:
    """A client that ends its lines with a bare LF would wait for ever."""
    assert fault(b"GET / HTTP/1.0\n\n") == (400, "control character in a head")


def test_an_empty_line_after_a_body_does_not_pause() -> None:
    """Some clients send one (RFC 9112, section 2.2); while nothing is read, that the client has gone is not noticed."""
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na"
    for pieces in ((post + b"\r\n",), (post, b"\r", b"\n")):
        conn = ServerRecorder()
        conn.answers = False
        assert feed(conn, *pieces) == b""
        assert not conn.paused
        assert feed(conn, b"\r\n") == b"\r\n"
        assert conn.paused
    conn = ServerRecorder()
    conn.answers = False
    assert feed(conn, post, b"\r") == b"\r"
    assert not conn.paused
    assert feed(conn, b"\rG") == b"\rG"
    assert conn.paused


def test_a_request_waits_unread_for_its_turn() -> None:
    conn = ServerRecorder()
    conn.answers = False
    assert feed(conn, GET + b"\r\n" + GET + b"\r\nrest") == GET + b"\r\nrest"
    assert conn.paused
    assert len(conn.events) == 2
    conn.await_head()
    assert not conn.paused


def test_the_memo_is_bounded_and_keeps_what_is_used() -> None:
    memo = HeadMemo()
    memo.request(GET + b"\r\n")
    head = memo.request(GET + b"\r\n")
    for number in range(2_000):
        for _time in range(2):
            memo.request(GET + b"X: %d\r\n\r\n" % number)
        assert memo.request(GET + b"\r\n") is head
    assert len(memo.requests.young) + len(memo.requests.old) < 300
    for _time in range(2):
        large = memo.request(GET + b"X: " + b"a" * 9_000 + b"\r\n\r\n")
    assert large.encoded not in memo.requests.young


def test_what_comes_once_takes_no_place_in_the_memo() -> None:
    memo = HeadMemo()
    for number in range(1_000):
        memo.request(GET + b"X: %d\r\n\r\n" % number)
    # Some marks are alike.
    assert len(memo.requests.young) < 100


def test_all_tokens_are_names() -> None:
    assert read_requests(GET + TOKEN + b": 1\r\n\r\n")[0][0] == "request"


def test_the_memo_counts_what_it_holds_and_keeps_the_last_one() -> None:
    rng = random.Random(3)
    memo = HeadMemo(generation_bytes=20_000)
    hot = GET + b"\r\n"
    for _step in range(3_000):
        raw = GET + b"X: %s\r\n\r\n" % (b"a" * rng.randrange(900)) if rng.random() < 0.7 else hot
        assert memo.request(raw).encoded == read_request(raw, 10_000, 10).encoded
        held = memo.requests
        assert held.used_bytes == sum(2 * len(known) + ENTRY_BYTES for known in held.young) <= held.generation_bytes
        assert not held.last_raw or held.last_raw in held.young or held.last_raw in held.old
