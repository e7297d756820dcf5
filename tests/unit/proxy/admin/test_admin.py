"""The admin port over real sockets: its pages, its refusals, its limits."""

import asyncio
import json
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from http.client import HTTPResponse, IncompleteRead
from io import BytesIO
from time import monotonic
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.admin import Admin, connection, guests, pages
from proxy.admin.connection import is_own_host
from proxy.admin.guests import MAX_GUESTS
from proxy.admin.http import Refusal, Request, parse_head
from proxy.config import from_arguments
from proxy.errors import ListenError
from proxy.route.model import Address


class Proxy:
    """What the admin port asks: a proxy whose state the test sets."""

    def __init__(self) -> None:
        self.reason = ""
        self.pieces = [b"# a\n", b"", b"# b\n"]
        self.shutdowns = 0
        self.writings = 0
        self.told = asyncio.Event()
        self.config = from_arguments("127.0.0.1:4140", "10.0.0.1:80,emoji:81")
        self.port = 0

    def metrics(self) -> Iterator[bytes]:
        self.writings += 1
        yield from self.pieces

    def shutdown(self) -> None:
        self.shutdowns += 1

    async def drain(self) -> str:
        await self.told.wait()
        return "drained: inbound"

    def admin(self) -> Admin:
        return Admin(lambda: self.reason, self.metrics, lambda: self.config, self.shutdown, self.drain)


@asynccontextmanager
async def running() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    admin = proxy.admin()
    proxy.port = (await admin.start(Address("127.0.0.1", 0))).port
    try:
        yield proxy
    finally:
        await admin.stop()


async def exchange(proxy: Proxy, request: bytes, half_close: bool = False) -> bytes:
    """Send these bytes and read to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(request)
    if half_close:
        writer.write_eof()
    received = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    await writer.wait_closed()
    return received


class Reply:
    """An answer, as the standard library's client reads it."""

    def __init__(self, received: bytes, method: str) -> None:
        class Source:
            def makefile(self, mode: str) -> BytesIO:
                return BytesIO(received)

        response = HTTPResponse(cast(Any, Source()), method=method)
        response.begin()
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode()


async def ask(proxy: Proxy, method: str, path: str, *headers: str, host: str = "127.0.0.1") -> Reply:
    head = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *headers))
    return Reply(await exchange(proxy, f"{head}\r\n\r\n".encode()), method)


async def test_pages() -> None:
    async with running() as proxy:
        assert (await ask(proxy, "GET", "/live")).text == "live\n"
        assert (await ask(proxy, "GET", "/ready")).status == 200
        proxy.reason = "no cluster has an endpoint"
        not_ready = await ask(proxy, "GET", "/ready")
        assert (not_ready.status, not_ready.text) == (503, "not ready: no cluster has an endpoint\n")
        assert (await ask(proxy, "GET", "/live")).status == 200
        metrics = await ask(proxy, "GET", "/metrics?x=1")
        assert (metrics.text, metrics.headers["content-type"]) == (
            "# a\n# b\n",
            "text/plain; version=0.0.4; charset=utf-8",
        )
        index = await ask(proxy, "GET", "/")
        assert index.text.split("\n") == [
            "GET /live",
            "GET /ready",
            "GET /metrics",
            "GET /config",
            "POST /drain",
            "POST /shutdown",
            "",
        ]


async def test_the_configuration_as_json() -> None:
    async with running() as proxy:
        reply = await ask(proxy, "GET", "/config", host=f"localhost:{proxy.port}")
        assert reply.headers["content-type"] == "application/json"
        config = json.loads(reply.text)
        assert config["listen"] == {"host": "127.0.0.1", "port": 4140}
        assert config["admin"] is None
        assert [endpoint["port"] for endpoint in config["clusters"][0]["endpoints"]] == [80, 81]
        assert config["routes"][0]["path"] == {"kind": "prefix", "value": ""}
        assert config["settings"]["max_concurrent_streams"] == 100


async def test_shutdown_is_a_post() -> None:
    async with running() as proxy:
        refused = await ask(proxy, "GET", "/shutdown")
        assert (refused.status, refused.headers["allow"], proxy.shutdowns) == (405, "POST", 0)
        assert (await ask(proxy, "HEAD", "/shutdown")).status == 405
        accepted = await ask(proxy, "POST", "/shutdown", "Content-Length: 0")
        assert (accepted.status, proxy.shutdowns) == (202, 1)


async def test_the_answer_to_a_shutdown_arrives() -> None:
    proxy = Proxy()
    stopping: list[asyncio.Task[None]] = []

    def stop() -> None:
        stopping.append(asyncio.create_task(admin.stop()))

    admin = Admin(lambda: "", proxy.metrics, lambda: None, stop, proxy.drain)
    proxy.port = (await admin.start(Address("127.0.0.1", 0))).port
    idle = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert (await ask(proxy, "POST", "/shutdown")).text == "shutting down\n"
    await asyncio.wait_for(stopping[0], 20)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    idle[1].close()


async def test_a_stop_does_not_wait_for_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "STOP_TIMEOUT_S", 0.01)
    async with running() as proxy:
        proxy.pieces = [b"x" * 100_000] * 1000
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1000)
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        await asyncio.wait_for(reader.readexactly(1000), 20)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(100_000_000), 20)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_body_is_read_past() -> None:
    async with running() as proxy:
        body = b"x" * 300_000
        head = b"POST /shutdown HTTP/1.1\r\nhost: [::1]:1\r\ncontent-length: 300000\r\n\r\n"
        assert Reply(await exchange(proxy, head + body), "POST").status == 202
        assert proxy.shutdowns == 1


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        (("Origin: http://127.0.0.1",), "127.0.0.1"),
        (("Origin: null",), "127.0.0.1"),
        (("Sec-Fetch-Site: same-origin",), "127.0.0.1"),
        ((), "evil.example:4191"),
        ((), "localhost.evil.example"),
        ((), "127.0.0.1.evil.example"),
        ((), ""),
    ],
)
async def test_web_pages_cannot_shut_down(headers: tuple[str, ...], host: str) -> None:
    async with running() as proxy:
        assert (await ask(proxy, "POST", "/shutdown", *headers, host=host)).status == 403
        assert proxy.shutdowns == 0


async def test_web_pages_cannot_read_the_configuration_by_rebinding() -> None:
    async with running() as proxy:
        assert (await ask(proxy, "GET", "/config", host="evil.example:4191")).status == 403
        assert (await ask(proxy, "GET", "/metrics", host="pod.monitoring.svc:4191")).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1:4191", "10.1.2.3", "[::1]", "[fe80::1]:4191", "LOCALHOST", "localhost:1"])
async def test_hosts_that_may_shut_down(host: str) -> None:
    async with running() as proxy:
        assert (await ask(proxy, "POST", "/shutdown", host=host)).status == 202


async def test_a_drain_is_answered_when_its_time_has_come() -> None:
    async with running() as proxy:
        assert (await ask(proxy, "GET", "/drain")).status == 405
        asking = [asyncio.create_task(ask(proxy, "POST", "/drain")) for _ in range(2)]
        assert (await ask(proxy, "GET", "/live")).status == 200
        assert not any(task.done() for task in asking)
        proxy.told.set()
        assert [((await task).status, (await task).text) for task in asking] == [(200, "drained: inbound\n")] * 2


async def test_who_asks_for_a_drain_may_go() -> None:
    async with running() as proxy:
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await ask(proxy, "GET", "/live")).status == 200
        writer.transport.abort()
        assert (await ask(proxy, "GET", "/live")).status == 200
        proxy.told.set()
        assert (await ask(proxy, "POST", "/drain")).status == 200


async def test_a_drain_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "STOP_TIMEOUT_S", 0.01)
    async with running() as proxy:
        asking = asyncio.create_task(exchange(proxy, b"POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
        assert (await ask(proxy, "GET", "/live")).status == 200
    with suppress(ConnectionError):
        assert await asking == b""


async def test_a_page_that_breaks_is_an_error_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    async def breaks() -> str:
        raise RuntimeError("on purpose")

    proxy = Proxy()
    admin = Admin(lambda: "", proxy.metrics, lambda: None, proxy.shutdown, breaks)
    proxy.port = (await admin.start(Address("127.0.0.1", 0))).port
    assert (await ask(proxy, "POST", "/drain")).status == 500
    await admin.stop()
    assert "RuntimeError: on purpose" in capfd.readouterr().err


@pytest.mark.parametrize("path", ["/drain", "/shutdown"])
async def test_another_pod_cannot_end_this_one(path: str) -> None:
    proxy = Proxy()
    request = Request("POST", path, "HTTP/1.1", {"host": "10.0.0.1:4191"})
    with pytest.raises(Refusal, match="only from within the pod"):
        proxy.admin().answer(request)
    assert proxy.shutdowns == 0


@pytest.mark.parametrize(
    ("peer", "local", "own"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.5", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
        ("10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.2", "10.0.0.1", False),
        ("fd00::2", "fd00::1", False),
        ("::ffff:10.0.0.2", "::ffff:10.0.0.1", False),
    ],
)
def test_who_is_in_the_pod(peer: str, local: str, own: bool) -> None:
    assert is_own_host(peer, local) is own


async def test_head_is_get_without_the_body() -> None:
    async with running() as proxy:
        for path in ("/live", "/metrics"):
            received = await exchange(proxy, f"HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")
            assert received.endswith(b"\r\n\r\n")
            assert received.count(b"\r\n\r\n") == 1


async def test_http_1_0_has_no_chunks() -> None:
    async with running() as proxy:
        received = await exchange(proxy, b"GET /metrics HTTP/1.0\r\n\r\n")
        assert received.endswith(b"connection: close\r\n\r\n# a\n# b\n")
        assert b"transfer-encoding" not in received


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"DELETE /live HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GET /live HTTP/1.1\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost: a\r\nbad header: b\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        (b"GET  /live HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET http://a/live HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400),
        (b"GET /live HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET /live HTTP/1.1\r\nX: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 10_000, 431),
    ],
)
async def test_refusals(request_bytes: bytes, status: int) -> None:
    async with running() as proxy:
        received = await exchange(proxy, request_bytes)
        assert Reply(received, "GET").status == status
        assert b"connection: close" in received


async def test_any_chunking_gives_the_same() -> None:
    async with running() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        for byte in b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"live\n\r\n0\r\n\r\n")
        writer.close()


async def test_a_client_that_half_closes_gets_its_answer() -> None:
    async with running() as proxy:
        received = await exchange(proxy, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", half_close=True)
        assert Reply(received, "GET").text == "# a\n# b\n"
        assert await exchange(proxy, b"GET /metr", half_close=True) == b""


async def test_a_second_request_is_not_answered() -> None:
    async with running() as proxy:
        assert (await exchange(proxy, b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n" * 2)).count(b"HTTP/1.1 200") == 1


async def test_a_slow_reader_gets_all_of_a_large_answer() -> None:
    async with running() as proxy:
        proxy.pieces = [bytes([65 + number % 26]) * 50_000 for number in range(200)]
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1000)
        writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        received = bytearray()
        while piece := await asyncio.wait_for(reader.read(40_000), 20):
            received += piece
        assert received.partition(b"\r\n\r\n")[2] == b"".join(proxy.pieces)
        writer.close()


async def test_a_head_that_does_not_come_is_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_TIMEOUT_S", 0.01)
    async with running() as proxy:
        assert (await exchange(proxy, b"GET /live HT")).startswith(b"HTTP/1.1 408 ")


async def test_a_peer_that_does_not_close_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLOSE_TIMEOUT_S", 0.01)
    async with running() as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"GET /live HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(reader.read(), 20)
        with pytest.raises(ConnectionError):
            await write_for_ever(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def write_for_ever(writer: asyncio.StreamWriter) -> None:
    """Write until the peer has gone."""
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.001)


async def test_silent_connections_do_not_lock_out_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest of those that ask nothing makes room."""
    monkeypatch.setattr(guests, "MOMENT_S", 0.0)
    async with running() as proxy:
        proxy.pieces = [b"x" * 100_000] * 100
        reader, scraper = await asyncio.open_connection("127.0.0.1", proxy.port, limit=1000)
        scraper.write(b"GET /metrics HTTP/1.0\r\n\r\n")
        received = await asyncio.wait_for(reader.readexactly(1000), 20)
        silent = [await asyncio.open_connection("127.0.0.1", proxy.port) for _ in range(2 * MAX_GUESTS)]
        for _ in range(3):
            assert (await ask(proxy, "GET", "/live")).status == 200
        with suppress(ConnectionError):
            assert await asyncio.wait_for(silent[0][0].read(), 20) == b""
        received += await asyncio.wait_for(reader.read(), 20)
        assert len(received.partition(b"\r\n\r\n")[2]) == 10_000_000
        for _, writer in [*silent, (reader, scraper)]:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def test_connects_wait_where_the_loop_is_busy() -> None:
    """A probe whose first packet the kernel drops tries again after a second, when it is too late."""
    async with running() as proxy:
        with ExitStack() as stack:
            watch = select.poll()
            awaited = set()
            for _ in range(300):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", proxy.port))
                watch.register(sock, select.POLLOUT)
                awaited.add(sock.fileno())
            deadline_s = monotonic() + 5.0
            while awaited and monotonic() < deadline_s:  # nothing is accepted meanwhile: this is the loop
                for fd, events in watch.poll(100):
                    assert events == select.POLLOUT
                    watch.unregister(fd)
                    awaited.remove(fd)
            assert not awaited
        assert (await ask(proxy, "GET", "/live")).status == 200


async def test_a_page_that_breaks_midway_passes_for_no_whole_one(capfd: pytest.CaptureFixture[str]) -> None:
    def breaks() -> Iterator[bytes]:
        yield b"# a\n"
        raise RuntimeError("on purpose")

    proxy = Proxy()
    admin = Admin(lambda: "", breaks, lambda: None, proxy.shutdown, proxy.drain)
    proxy.port = (await admin.start(Address("127.0.0.1", 0))).port
    for _ in range(2):
        with pytest.raises((ConnectionError, IncompleteRead)):
            await ask(proxy, "GET", "/metrics")
    await admin.stop()
    assert capfd.readouterr().err.count("RuntimeError: on purpose") == 1


async def test_a_large_page_is_written_once_for_all() -> None:
    async with running() as proxy:
        proxy.pieces = [bytes([65 + number % 26]) * 50_000 for number in range(20)]
        replies = [await ask(proxy, "GET", "/metrics") for _ in range(5)]
        replies += await asyncio.gather(*(ask(proxy, "GET", "/metrics") for _ in range(5)))
        assert {reply.text for reply in replies} == {b"".join(proxy.pieces).decode()}
        assert proxy.writings == 1


async def test_a_port_in_use_is_a_clear_error() -> None:
    async with running() as proxy:
        other = proxy.admin()
        with pytest.raises(ListenError, match=rf"cannot listen on the admin address 127\.0\.0\.1:{proxy.port}: "):
            await other.start(Address("127.0.0.1", proxy.port))
        with pytest.raises(ListenError, match=r"cannot listen on the admin address 192\.0\.2\.1:1: "):
            await other.start(Address("192.0.2.1", 1))


@settings(deadline=None)
@given(
    st.one_of(st.binary(max_size=80), st.binary(max_size=40).map(lambda tail: b"GET / HTTP/1.1\r\nhost: a\r\n" + tail))
)
def test_any_head_is_parsed_or_refused(head: bytes) -> None:
    try:
        request = parse_head(head)
    except Refusal:
        return
    assert request.path.startswith("/")
