"""Attacks of a client over HTTP/1, through interception: what it says, and what it does not (DESIGN 3.5 and 3.6)."""

from __future__ import annotations

import re
import select
import socket
import time
from contextlib import ExitStack

import pytest

from tests.abuse.evil import Victim
from tests.abuse.pods import WEB, Pods, hear_all
from tests.e2e.processes import eventually
from tests.e2e.transparent.app import HTTP

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
PORTS = iter(range(9_100, 9_200))


def pour(sock: socket.socket, first: bytes, piece: bytes, most: int = 4 << 20) -> bytes:
    """Say `first`, and then `piece` until the proxy has something to say; all that it says to the end."""
    try:
        sock.sendall(first)
        for _ in range(most // len(piece)):
            if select.select([sock], [], [], 0)[0]:
                break
            sock.sendall(piece)
    except OSError:
        pass  # it has had enough, and has said so
    return hear_all(sock)


def status(answer: bytes) -> bytes:
    return answer[9:12]


# ---- by what it says

ENDLESS = {
    "head": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"x: " + b"y" * 990 + b"\r\n", b"431", "head too large"),
    "field": (b"GET / HTTP/1.1\r\nHost: a\r\nx: ", b"y" * 1_000, b"431", "head too large"),
    "fields": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"x:\r\n" * 200 + b"\r\n", b"431", "too many fields"),
    "first line": (b"GET /", b"a" * 1_000, b"414", "first line too long"),
    "chunk's extension": (CHUNKED + b"5;", b"x" * 1_000, b"400", "chunk extension too long"),
    "chunks' extensions": (CHUNKED, b"1;" + b"x" * 500 + b"\r\na\r\n", b"400", "chunk extensions flood"),
    "trailers": (CHUNKED + b"0\r\n", b"x: y\r\n" * 50, b"431", "trailers too large"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless(pods: Pods, name: str) -> None:
    first, piece, code, reason = ENDLESS[name]
    with pods.attacked(f"HTTP/1, {name} without an end") as faults, ExitStack() as stack:
        for sock in [stack.enter_context(pods.connect()) for _ in range(20)]:
            answer = pour(sock, first, piece)
            assert status(answer) == code, answer
            assert b"connection: close" in answer
    assert faults == {("downstream", reason): 20}


SECOND = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
SMUGGLING = {
    "both framings": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "both framings, the other way": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SECOND,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 36\r\n\r\n" + SECOND,
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" + SECOND,
    "a list of lengths": POST + b"Content-Length: 0, 36\r\n\r\n" + SECOND,
    "a signed length": POST + b"Content-Length: +0\r\n\r\n" + SECOND,
    "an octal length": POST + b"Content-Length: 0x24\r\n\r\n" + SECOND,
    "a length of many digits": POST + b"Content-Length: 18446744073709551616\r\n\r\n" + SECOND,
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "two codings": POST + b"Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "a coding twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + SECOND,
    "a coding behind a tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SECOND,
    "a coding in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    "a blank before the colon": POST + b"Content-Length : 36\r\n\r\n" + SECOND,
    "a folded line": POST + b"x: y\r\n Content-Length: 36\r\n\r\n" + SECOND,
    "a bare LF": POST + b"x: y\nContent-Length: 36\r\n\r\n" + SECOND,
    "a bare CR": POST + b"x: y\rContent-Length: 36\r\n\r\n" + SECOND,
    "a zero byte": POST + b"x: y\0\r\n\r\n" + SECOND,
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SECOND,
    "a connection that names the length": POST + b"Connection: content-length\r\nContent-Length: 36\r\n\r\n" + SECOND,
    "a chunk's size with a prefix": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n" + SECOND,
    "a chunk's size that overflows": CHUNKED + b"10000000000000000\r\na\r\n0\r\n\r\n" + SECOND,
    "a chunk longer than its size": CHUNKED + b"1\r\nab\r\n0\r\n\r\n" + SECOND,
    "a chunk ended by LF": CHUNKED + b"1\na\n0\n\n" + SECOND,
    "a length in the trailers": CHUNKED + b"0\r\nContent-Length: 36\r\n\r\n" + SECOND,
}


def test_smuggling(pods: Pods) -> None:
    """Whatever two readers could understand in two ways is refused, and nothing behind it is read."""
    received = bytearray()

    def note(victim: Victim) -> None:
        while data := victim.socket.recv(1 << 16):
            received.extend(data)
            if received.endswith(b"\r\n\r\n"):
                victim.say(OK)

    port = next(PORTS)
    with pods.endpoint(port, note), pods.attacked("HTTP/1, smuggling") as faults:
        assert pods.ask(b"GET /plain HTTP/1.0\r\n\r\n", port).startswith(b"HTTP/1.1 200 ")
        for name, said in SMUGGLING.items():
            answer = pods.ask(said, port)
            assert status(answer) in (b"400", b"501"), (name, answer)
            assert answer.count(b"HTTP/1.1 ") == 1, (name, answer)
    assert b"GET /plain" in received
    assert b"smuggled" not in received
    assert sum(faults.values()) == len(SMUGGLING)
    assert {side for side, _ in faults} == {"downstream"}


def test_upgrade_to_http_2(pods: Pods) -> None:
    """An h2c tunnel would bypass all routes: the endpoint does not hear of it, and cannot agree to it (DESIGN 3.5)."""
    heads: list[bytes] = []

    def agree(victim: Victim) -> None:
        heads.append(victim.socket.recv(1 << 16))
        victim.say(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + bytes(100))

    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    port = next(PORTS)
    with pods.endpoint(port, agree), pods.attacked("HTTP/1, h2c") as faults, pods.connect(port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + upgrade)
        assert status(sock.recv(1 << 16)) == b"502"
    assert b"h2c" not in heads[0]
    assert b"settings" not in heads[0].lower()
    assert faults == {("upstream", "switched to a protocol that was not asked for"): 1}


def test_connect(pods: Pods) -> None:
    before = pods.count_failures().get("method-not-allowed", 0)
    with pods.attacked("HTTP/1, CONNECT"), pods.connect() as sock:
        for _ in range(200):
            sock.sendall(b"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n")
            answer = sock.recv(1 << 16)
            assert status(answer) == b"405", answer
    assert pods.count_failures()["method-not-allowed"] == before + 200


def answer_heads(victim: Victim) -> None:
    """As fast as Python can."""
    rest = b""
    while data := victim.socket.recv(1 << 18):
        rest += data
        whole = rest.count(b"\r\n\r\n")
        rest = rest[rest.rfind(b"\r\n\r\n") + 4 :] if whole else rest
        victim.say(OK * whole)


def test_a_new_host_in_each_request(pods: Pods) -> None:
    """Neither decisions nor metrics nor heads are kept for more of them than the bounds say."""
    port = next(PORTS)
    with pods.endpoint(port, answer_heads), pods.attacked("10,000 hosts", 16_384) as faults:
        with pods.connect(port) as sock:
            heard = 0
            for begin in range(0, 10_000, 100):
                names = (b"%d.example" % number for number in range(begin, begin + 100))
                sock.sendall(b"".join(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % name for name in names))
                while heard < (begin + 100) * len(OK):
                    heard += len(sock.recv(1 << 16))
    assert faults == {}
    page = pods.sidecar.admin_request("/metrics")[1]
    counted = re.findall(r'^request_total{[^}]*authority="([^"]*)"', page, re.MULTILINE)
    assert len(counted) <= 1_001
    assert "overflow" in counted


# ---- by what it does not do


def test_slow_clients(pods: Pods) -> None:
    """Half a request line, half a ClientHello, silence: passed on as they are after a second. A slow head: 408."""
    beginnings = {"head": b"GET / HTTP/1.1\r\nx: ", "line": b"GET / HT", "hello": b"\x16\x03\x01\x02\x00\x01", "": b""}
    with pods.attacked("HTTP/1, slow heads, half a word, silence, 50 of each") as faults, ExitStack() as stack:
        slow = {name: [stack.enter_context(pods.connect()) for _ in range(50)] for name in beginnings}
        for name, socks in slow.items():
            for sock in socks:
                sock.sendall(beginnings[name])
        begun_s = time.monotonic()
        while not select.select(slow["head"], [], [], 0)[0]:
            assert time.monotonic() - begun_s < 60
            for sock in slow["head"]:
                sock.sendall(b"y")
            time.sleep(0.5)
        assert {status(hear_all(sock)) for sock in slow["head"]} == {b"408"}
    assert faults == {("downstream", "head too slow"): 50}


def test_bodies_that_never_come(pods: Pods) -> None:
    """More than the honest clients' endpoint gets connections, and than may wait for one: they hold up nobody else."""
    with pods.attacked("2,200 bodies that never come", 24_576) as faults, ExitStack() as stack:
        for _ in range(2_200):
            stack.enter_context(pods.connect(WEB)).sendall(POST + b"Content-Length: 10\r\n\r\n")
        time.sleep(4.0)
    assert faults == {}
    assert pods.count_failures()["request-stalled"] > 0


def read_on(victim: Victim) -> None:
    while victim.socket.recv(1 << 18):
        pass


def test_bodies_in_chunks_of_a_byte(pods: Pods) -> None:
    """Twenty at once, as fast as they are taken: of each a thousand chunks in a turn, then it is the others' turn."""
    port = next(PORTS)
    pieces = b"1\r\na\r\n" * 20_000
    with pods.endpoint(port, read_on), pods.attacked("20 bodies in chunks of a byte", 24_576) as faults:
        with ExitStack() as stack:
            socks = [stack.enter_context(pods.connect(port)) for _ in range(20)]
            for sock in socks:
                sock.sendall(CHUNKED)
                sock.setblocking(False)
            left = dict.fromkeys(socks, b"")
            until_s = time.monotonic() + 2.0
            while time.monotonic() < until_s:
                for sock in select.select([], socks, [], 0.1)[1]:
                    said = left[sock] or pieces
                    left[sock] = said[sock.send(said) :]
    assert faults == {}


def test_pipelined_requests_whose_answers_are_not_read(pods: Pods) -> None:
    port = next(PORTS)
    with ExitStack() as stack:
        stack.enter_context(pods.endpoint(port, answer_heads))
        faults = stack.enter_context(pods.attacked("10,000 pipelined requests, unread, twice"))
        for _ in range(2):
            sock = stack.enter_context(pods.connect(port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            sock.settimeout(1.0)
            try:
                sock.sendall(GET * 10_000)
            except TimeoutError:
                pass  # it does not read on, which is right
        time.sleep(1.0)
    assert faults == {}


def test_answers_that_nobody_reads(pods: Pods) -> None:
    """50 answers of 64 MiB: of each there is held what a socket takes, and one read more."""

    def pour_out(victim: Victim) -> None:
        victim.socket.recv(1 << 16)
        victim.say(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
        for _ in range(64):
            victim.say(bytes(1 << 20))

    port = next(PORTS)
    with pods.endpoint(port, pour_out), pods.attacked("50 answers, never read", 24_576) as faults, ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(pods.connect(port)).sendall(GET)
        time.sleep(1.5)
    assert faults == {}
    eventually(lambda: pods.ask(b"GET / HTTP/1.0\r\n\r\n", HTTP).startswith(b"HTTP/1.1 200 "), "an answer")
