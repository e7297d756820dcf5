"""Hostile HTTP/1 clients and servers: each is contained, and an honest client beside it notices nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from time import monotonic

import pytest

from tests.e2e.processes import HOST, eventually
from tests.e2e.test_http1 import SMALL, Backend, Http1Proxy, read_all

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass
class Honest:
    """What a client saw that asked all the time."""

    statuses: list[int] = field(default_factory=list)


@contextmanager
def honest_client(proxy: Http1Proxy, path: str = "/") -> Iterator[Honest]:
    """Asks while the block runs, and has been answered every time at its end."""
    ended = threading.Event()
    seen = Honest()

    def ask() -> None:
        with closing(proxy.open()) as client:
            while not ended.is_set():
                client.request("GET", path)
                response = client.getresponse()
                response.read()
                seen.statuses.append(response.status)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
        before = len(seen.statuses)
        eventually(lambda: len(seen.statuses) > before + 20, "the honest client is served")
    finally:
        ended.set()
        thread.join()
    assert set(seen.statuses) == {200}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Http1Proxy]:
    with Backend("a") as backend, Http1Proxy(backend.address) as running:
        yield running


def send_until_refused(proxy: Http1Proxy, opening: bytes, more: bytes) -> bytes:
    """Send on and on, until the connection is ended under us; what was answered, if the reset has left it."""
    deadline_s = monotonic() + 20
    with proxy.connect() as sock:
        sock.sendall(opening)
        try:
            while monotonic() < deadline_s:
                sock.sendall(more)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert monotonic() < deadline_s, "nobody minds"
        try:
            return read_all(sock)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    ("opening", "more"),
    [
        (b"GET /", b"a" * 1_000),
        (HEAD + b"X: ", b"a" * 1_000),
        (HEAD, b"X: y\r\n" * 100),
        (CHUNKED, b"1;" + b"x" * 500 + b"\r\na\r\n"),
        (CHUNKED + b"1;", b"x" * 1_000),
        (CHUNKED + b"0\r\n", b"T: u\r\n" * 100),
        (b"\r\n", b"\r\n"),
    ],
    ids=["target", "field", "fields", "extensions", "extension", "trailers", "empty lines"],
)
def test_endless_beginnings(proxy: Http1Proxy, opening: bytes, more: bytes) -> None:
    with honest_client(proxy):
        answer = send_until_refused(proxy, opening, more)
    assert answer[:10] in (b"HTTP/1.1 4", b"")


def test_many_heads_that_never_end(proxy: Http1Proxy) -> None:
    before_kib = proxy.anon_kib()
    with honest_client(proxy), ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(proxy.connect()).sendall(HEAD + b"X: " + b"a" * 20_000)
        eventually(lambda: proxy.anon_kib() - before_kib > 200 * 15, "the heads are there")
        assert proxy.anon_kib() - before_kib < 200 * 60 + 4_000


def test_pipelining_without_reading(proxy: Http1Proxy) -> None:
    """Neither the requests nor the answers pile up."""
    before_kib = proxy.anon_kib()
    with honest_client(proxy), proxy.connect() as sock:
        sock.setblocking(False)
        requests = b"GET /stream?size=100000 HTTP/1.1\r\nHost: a\r\n\r\n" * 1_000
        blocked = 0
        while blocked < 30:
            try:
                sock.send(requests)
            except BlockingIOError:
                blocked += 1
                threading.Event().wait(0.01)
        assert proxy.anon_kib() - before_kib < 4_000


def test_resets_in_the_middle_of_answers(proxy: Http1Proxy) -> None:
    before_kib = proxy.anon_kib()
    with honest_client(proxy):
        for _ in range(200):
            with proxy.connect() as sock:
                sock.sendall(b"GET /stream?size=10000000 HTTP/1.1\r\nHost: a\r\n\r\n")
                sock.recv(100)
        assert proxy.anon_kib() - before_kib < 8_000


Serve = Callable[[socket.socket], None]


@contextmanager
def hostile_server(serve: Serve) -> Iterator[str]:
    """Answers each connection by `serve`, in a thread of its own, until the block ends."""
    with socket.create_server((HOST, 0)) as server:
        threads: list[threading.Thread] = []

        def serve_one(sock: socket.socket) -> None:
            with sock:
                try:
                    sock.settimeout(20)
                    sock.recv(65_536)
                    serve(sock)
                except OSError:
                    return

        def accept() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=serve_one, args=(sock,)))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield f"{HOST}:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join()


def endlessly(beginning: bytes, more: bytes) -> Serve:
    def serve(sock: socket.socket) -> None:
        sock.sendall(beginning)
        while True:
            sock.sendall(more)

    return serve


@pytest.mark.parametrize(
    "serve",
    [
        endlessly(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100),
        endlessly(b"HTTP/1.1 200 ", b"a" * 1_000),
        endlessly(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        endlessly(b"", b"\r\n"),
        endlessly(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        lambda sock: sock.sendall(b"220 mail.example ESMTP\r\n\r\n"),
        lambda sock: sock.close(),
    ],
    ids=["fields", "reason", "interim", "empty lines", "both framings", "smtp", "close"],
)
def test_servers_that_speak_no_http(serve: Serve) -> None:
    with hostile_server(serve) as address, Http1Proxy(address) as proxy:
        before_kib = proxy.anon_kib()
        for _ in range(3):
            with proxy.connect() as sock:
                sock.sendall(SMALL[:-2] + b"Connection: close\r\n\r\n")
                answer = read_all(sock)
            assert b"HTTP/1.1 502 Bad Gateway" in answer
        assert proxy.anon_kib() - before_kib < 4_000


def test_a_server_that_never_answers() -> None:
    ended = threading.Event()
    with hostile_server(lambda sock: ended.wait(20) and None) as address:
        with Http1Proxy(address, timeout_s=0.5) as proxy, closing(proxy.open()) as client:
            for _ in range(3):
                client.request("GET", "/")
                assert client.getresponse().read().startswith(b"gossamer: the route's timeout passed")
        ended.set()
