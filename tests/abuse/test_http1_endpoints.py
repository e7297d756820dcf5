"""Attacks of an endpoint over HTTP/1: what a malicious server can do to the proxy, its clients, and those of others."""

from __future__ import annotations

import select
import socket
import time
from contextlib import ExitStack
from http.client import HTTPResponse

import pytest

from tests.abuse.evil import Deed, Victim
from tests.abuse.pods import Pods, hear_all
from tests.e2e.processes import eventually

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
PORTS = iter(range(9_200, 9_300))
CLIENTS = 10


def says(first: bytes, piece: bytes = b"", times: int = 0, closes: bool = False) -> Deed:
    """On each request: `first`, then `piece` so many times, and perhaps the end."""

    def deed(victim: Victim) -> None:
        while victim.socket.recv(1 << 16):
            victim.say(first)
            for _ in range(times):
                victim.say(piece)
            if closes:
                victim.socket.close()
                return

    return deed


# What the client gets: the beginning of an answer, and whether it is cut off, so that nobody takes it for a whole one.
WHOLE, CUT = False, True
HOSTILE: dict[str, tuple[Deed, bytes, bool, str]] = {
    "a head without an end": (says(HEAD, b"x: " + b"y" * 996, 200), b"502", WHOLE, "head too large"),
    "fields without an end": (says(HEAD, b"x: y\r\n", 20_000), b"502", WHOLE, "too many fields"),
    "a first line without an end": (says(b"HTTP/1.1 200 ", b"y" * 1_000, 200), b"502", WHOLE, "first line too long"),
    "1xx without an end": (says(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 200), b"502", WHOLE, "interim responses flood"),
    "two lengths": (
        says(HEAD + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\nok"),
        b"502",
        WHOLE,
        "several content-length fields",
    ),
    "both framings": (
        says(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        b"502",
        WHOLE,
        "both transfer-encoding and content-length",
    ),
    "a bare LF": (says(b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), b"502", WHOLE, "control character in a head"),
    "a folded line": (says(HEAD + b"x: y\r\n z\r\n\r\n"), b"502", WHOLE, "folded line"),
    "HTTP/0.9": (says(b"<html>"), b"502", WHOLE, "not HTTP/1"),
    "HTTP/2": (says(bytes(9)), b"502", WHOLE, "not HTTP/1"),
    "a letter that is none of HTTP's": (says(b"2"), b"502", WHOLE, "not HTTP/1"),
    "101 that nobody asked for": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello"),
        b"502",
        WHOLE,
        "switched to a protocol that was not asked for",
    ),
    "a chunk of no size": (says(CHUNKED + b"x\r\n"), b"200", CUT, "illegal chunk size"),
    "extensions without an end": (says(CHUNKED + b"1;", b"x" * 1_000, 200), b"200", CUT, "chunk extension too long"),
    "a flood of extensions": (
        says(CHUNKED, b"1;" + b"x" * 500 + b"\r\na\r\n", 500),
        b"200",
        CUT,
        "chunk extensions flood",
    ),
    "trailers without an end": (says(CHUNKED + b"0\r\n", b"x: y\r\n", 20_000), b"200", CUT, "trailers too large"),
    "an end in the middle of a body": (says(HEAD + b"Content-Length: 10\r\n\r\nhello", closes=True), b"200", CUT, ""),
    "an end in the middle of a chunk": (says(CHUNKED + b"5\r\nhe", closes=True), b"200", CUT, ""),
    "an end in the middle of a head": (says(HEAD + b"x", closes=True), b"502", WHOLE, ""),
    "an end instead of an answer": (says(b"", closes=True), b"502", WHOLE, ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_endpoint(pods: Pods, name: str) -> None:
    deed, code, is_cut, reason = HOSTILE[name]
    port = next(PORTS)
    with pods.endpoint(port, deed), pods.attacked(f"HTTP/1 endpoint: {name}", 6_144) as faults:
        for _ in range(CLIENTS):
            with pods.connect(port) as sock:
                sock.sendall(GET)
                answer = hear_answer(sock, is_cut)
            if code == b"502":
                assert b"HTTP/1.1 502 " in answer, answer
            else:
                assert answer[9:12] == code, answer
            assert answer.endswith(b"<reset>") == is_cut, answer
    assert set(faults) == ({("upstream", reason)} if reason else set(faults))
    assert {side for side, _ in faults} <= {"upstream"}


def hear_answer(sock: socket.socket, is_cut: bool) -> bytes:
    """To the end where it is cut off; else what comes at once, since the connection may stay."""
    if is_cut:
        return hear_all(sock)
    answer = b""
    while b"HTTP/1.1 502 " not in answer and (data := sock.recv(1 << 16)):
        answer += data
    return answer


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_an_answer_that_nobody_asked_for(pods: Pods, delay_s: float) -> None:
    """Response splitting: a second answer behind the first does not become that of the next client."""

    def split(victim: Victim) -> None:
        while victim.socket.recv(1 << 16):
            if delay_s:
                victim.say(OK)
                time.sleep(delay_s)
                victim.say(OK.replace(b"ok", b"no"))
            else:
                victim.say(OK + OK.replace(b"ok", b"no"))

    port = next(PORTS)
    with pods.endpoint(port, split) as evil, pods.attacked(f"HTTP/1 endpoint: splits, {delay_s} s") as faults:
        for _ in range(CLIENTS):
            with pods.connect(port) as sock:
                sock.sendall(GET)
                assert sock.recv(1 << 16).endswith(b"ok")
            time.sleep(2 * delay_s)
        eventually(lambda: evil.dialled == CLIENTS, "a connection for each request")
    assert set(faults) <= {("upstream", "bytes after a response")}


def test_an_answer_before_the_request(pods: Pods) -> None:
    """What it says to nobody is at most taken for its own answer, once."""

    def answer(victim: Victim) -> None:
        victim.say(OK)
        while victim.socket.recv(1 << 16):
            victim.say(OK)

    port = next(PORTS)
    with pods.endpoint(port, answer) as evil, pods.attacked("HTTP/1 endpoint: answers before it is asked") as faults:
        for _ in range(CLIENTS):
            with pods.connect(port) as sock:
                sock.sendall(GET)
                assert sock.recv(1 << 16).endswith(b"ok")
            time.sleep(0.02)
        assert evil.dialled >= CLIENTS // 2
    assert set(faults) <= {("upstream", "bytes after a response")}


def test_silence(pods: Pods) -> None:
    """200 requests wait for an endpoint that takes them and says nothing; whoever waits may go at any time."""

    port = next(PORTS)
    with pods.silent_endpoint(port), pods.attacked("HTTP/1 endpoint: never answers", 8_192) as faults:
        with ExitStack() as stack:
            socks = [stack.enter_context(pods.connect(port)) for _ in range(200)]
            for sock in socks:
                sock.sendall(GET)
            time.sleep(0.5)
            assert not select.select(socks, [], [], 0)[0]
    assert faults == {}


def test_it_accepts_nobody(pods: Pods) -> None:
    """Nothing listens there: each client is told so, and nobody waits for another."""
    with pods.attacked("HTTP/1 endpoint: none"), ExitStack() as stack:
        socks = [stack.enter_context(pods.connect(9_099)) for _ in range(50)]
        for sock in socks:
            sock.sendall(GET)
        for sock in socks:
            assert sock.recv(1 << 16)[9:12] in (b"502", b"503")


def test_answers_in_chunks_of_a_byte(pods: Pods) -> None:
    """Twenty at once, of 1.2 MB each: as for uploads, a thousand chunks in a turn."""
    port = next(PORTS)
    with ExitStack() as stack:
        stack.enter_context(pods.endpoint(port, says(CHUNKED + b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n")))
        faults = stack.enter_context(pods.attacked("20 answers in chunks of a byte", 24_576))
        socks = [stack.enter_context(pods.connect(port)) for _ in range(20)]
        for sock in socks:
            sock.sendall(GET)
        for sock in socks:
            answer = HTTPResponse(sock)
            answer.begin()
            assert answer.read() == b"a" * 200_000
    assert faults == {}


def test_an_endpoint_whose_queue_is_full(pods: Pods) -> None:
    """The kernel drops all its SYNs: 600 requests for it do not keep those from waiting that are for another."""
    full, well = next(PORTS), next(PORTS)
    with ExitStack() as stack:
        stack.enter_context(pods.server.listen((pods.host, full))).listen(0)
        for _ in range(3):
            sock = stack.enter_context(pods.server.open_socket(4))
            sock.setblocking(False)
            sock.connect_ex((pods.host, full))
        stack.enter_context(pods.endpoint(well, says(OK)))
        faults = stack.enter_context(pods.attacked("600 requests for who takes no connections", 16_384))
        for _ in range(600):
            stack.enter_context(pods.connect(full)).sendall(GET)
        others = [stack.enter_context(pods.connect(well)) for _ in range(50)]
        for sock in others:
            sock.sendall(GET)
        begun_s = time.monotonic()
        for sock in others:
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        # They would wait for ten timeouts of a second otherwise.
        assert time.monotonic() - begun_s < 5.0
    assert faults == {}
