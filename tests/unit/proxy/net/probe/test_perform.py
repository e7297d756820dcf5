"""Probes over real sockets: an application that says what the test wants, judged as the kubelet would."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from proxy.codec.frames import SETTINGS_ACK, encode_settings
from proxy.net.probe import Grpc, HttpGet, Probe, TcpSocket, Verdict, perform
from proxy.net.probe.grpc import decode_status, encode_request

HOST = "127.0.0.1"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Application:
    """Answers the n-th request with the n-th of `answers`; `stays` open after it, as one that ignores our `close`."""

    def __init__(self, *answers: bytes, stays: bool = False) -> None:
        self.answers = list(answers)
        self.stays = stays
        self.requests: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.requests.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(self.answers.pop(0).replace(b"PORT", b"%d" % self.port))
            await writer.drain()
            if self.stays:
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort() if self.stays else writer.close()


@asynccontextmanager
async def listening(serve: Callable[..., object]) -> AsyncIterator[int]:
    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def running(application: Application) -> AsyncIterator[Application]:
    async with listening(application.serve) as application.port:
        yield application


async def get(application: Application, timeout_s: float = 20, **fields: object) -> Verdict:
    async with running(application):
        target = HttpGet(application.port, **fields)  # type: ignore[arg-type]
        return await perform(Probe(target, timeout_s), HOST, "kube-probe/1.30")


async def test_the_request_is_the_kubelets() -> None:
    application = Application(OK)
    verdict = await get(application, path="/healthz?full=1")
    port = application.port
    assert verdict == (True, f"GET http://127.0.0.1:{port}/healthz?full=1: status 200")
    assert application.requests == [
        f"GET /healthz?full=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: kube-probe/1.30\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    ]


async def test_headers_of_the_probe() -> None:
    application = Application(OK)
    headers = (("Host", "shop.example"), ("X-A", "1"), ("x-a", "2"), ("User-Agent", "me"), ("Accept", ""))
    assert (await get(application, headers=headers)).healthy
    assert application.requests == [
        "GET / HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\nx-a: 2\r\nUser-Agent: me\r\nConnection: close\r\n\r\n"
    ]


@pytest.mark.parametrize(
    ("path", "sent"),
    [("healthz", "/healthz"), ("/a b", "/a%20b"), ("/a%20b", "/a%20b"), ("/ä#top", "/%C3%A4"), ("?x=1", "/?x=1")],
)
async def test_any_path_makes_a_request(path: str, sent: str) -> None:
    application = Application(OK)
    assert (await get(application, path=path)).healthy
    assert application.requests[0].startswith(f"GET {sent} HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("status", "healthy"),
    [(200, True), (204, True), (304, True), (399, True), (400, False), (404, False), (500, False)],
)
async def test_the_status_decides(status: int, healthy: bool) -> None:
    verdict = await get(Application(b"HTTP/1.1 %d X\r\n\r\n" % status))
    assert (verdict.healthy, verdict.text[-3:]) == (healthy, str(status))


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.0 200\n\nno length",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 20_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + b"x" * 20_000,
        b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_healthy_answers_of_all_shapes(answer: bytes) -> None:
    """Also of those that do not close: the end, or 10 KiB, is seen all the same."""
    assert (await get(Application(answer, stays=b"no length" not in answer))).healthy


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "its answer breaks off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "its answer breaks off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no", "its answer breaks off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", "its chunks are malformed"),
        (b"220 mail.example ESMTP\r\n\r\n", "it does not speak HTTP/1"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "status 200"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 7, "it sends interim responses without end"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 1001, "its answer has too many headers"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "status 101"),
    ],
)
async def test_unhealthy_answers_and_why(answer: bytes, reason: str) -> None:
    verdict = await get(Application(answer))
    assert verdict.text.endswith(reason)
    assert verdict.healthy is (reason == "status 200")


async def test_a_line_without_end() -> None:
    assert not (await get(Application(b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000))).healthy


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


async def test_redirects_on_the_same_host_are_followed() -> None:
    application = Application(redirect("/b/c?x=1"), redirect("d", 307), redirect("http://127.0.0.1:PORT/e#f"), OK)
    assert (await get(application, path="/a?b", headers=(("Host", "shop.example"),))).healthy
    asked = [request.split("\r\n")[:2] for request in application.requests]
    assert asked == [
        ["GET /a?b HTTP/1.1", "Host: shop.example"],
        ["GET /b/c?x=1 HTTP/1.1", "Host: shop.example"],
        ["GET /b/d HTTP/1.1", "Host: shop.example"],
        ["GET /e HTTP/1.1", f"Host: 127.0.0.1:{application.port}"],
    ]


async def test_the_end_of_a_redirect_counts() -> None:
    assert (await get(Application(redirect("/b"), b"HTTP/1.1 503 X\r\n\r\n"))).text.endswith("status 503")


async def test_a_redirect_elsewhere_is_healthy() -> None:
    verdict = await get(Application(redirect("https://login.example/")))
    assert (verdict.healthy, verdict.text[-26:]) == (True, "status 302 to another host")


async def test_redirects_end() -> None:
    verdict = await get(Application(*[redirect("/again")] * 11))
    assert (verdict.healthy, verdict.text[-26:]) == (False, "stopped after 10 redirects")


@pytest.mark.parametrize("location", ["http://[", "ftp://127.0.0.1/", "http://127.0.0.1:99999/"])
async def test_a_redirect_to_nonsense(location: str) -> None:
    verdict = await get(Application(redirect(location)))
    assert not verdict.healthy
    assert verdict.text.endswith("status 302 to what is no URL")


async def test_silence_is_timed_out() -> None:
    verdict = await get(Application(b"", stays=True), timeout_s=0.05)
    assert (verdict.healthy, verdict.text.endswith(": no answer within 0.05 s")) == (False, True)


async def test_a_body_that_does_not_end_is_timed_out() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok"
    assert "no answer within" in (await get(Application(answer, stays=True), timeout_s=0.1)).text


async def test_tcp() -> None:
    application = Application()
    async with running(application):
        port = application.port
        assert await perform(Probe(TcpSocket(port), 20), HOST, "") == (True, f"TCP 127.0.0.1:{port}: connected")
    for target in (TcpSocket(port), HttpGet(port), Grpc(port)):
        verdict = await perform(Probe(target, 20), HOST, "")
        assert not verdict.healthy
        assert re.search("connection refused|connect call failed", verdict.text)


async def test_a_host_of_its_own() -> None:
    async with running(Application()) as application:
        assert (await perform(Probe(TcpSocket(application.port, HOST), 20), "192.0.2.1", "")).healthy


# ---- gRPC: what a server may answer but a good one; a good one is in tests/e2e/test_life_probes.py


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(*fields: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"\x00" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in fields)


HELLO = encode_settings({}) + SETTINGS_ACK
HEADERS = frame(1, 4, 1, literal((b":status", b"200"), (b"content-type", b"application/grpc")))
SERVING = frame(0, 0, 1, b"\0\0\0\0\2\x08\1")


def trailers(status: int, message: bytes = b"") -> bytes:
    return frame(1, 5, 1, literal((b"grpc-status", b"%d" % status), (b"grpc-message", message)))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (HELLO + HEADERS + SERVING + trailers(0), "SERVING"),
        (HELLO + HEADERS + frame(0, 0, 1, b"\0\0\0\0\2\x08\2") + trailers(0), "NOT_SERVING"),
        (HELLO + HEADERS + frame(0, 0, 1, b"\0\0\0\0\0") + trailers(0), "UNKNOWN"),
        (HELLO + HEADERS + trailers(0), "-1"),
        (HELLO + HEADERS + SERVING + SERVING + trailers(0), "-1"),
        (HELLO + HEADERS + trailers(12), "it does not implement grpc.health.v1.Health"),
        (HELLO + HEADERS + trailers(5, b"no%20such"), "gRPC status 5: no such"),
        (HELLO + HEADERS + frame(0, 1, 1, b"\0\0\0\0\2\x08\1"), "it ended the call without a status"),
        (HELLO + HEADERS + frame(0, 0, 1, b"x" * 2000), "its answer is too large"),
        (HELLO + frame(1, 5, 1, literal((b":status", b"404"))), "HTTP status 404"),
        (HELLO + frame(3, 0, 1, struct.pack(">I", 8)), "it reset the call (HTTP/2 error 8)"),
        (HELLO + frame(7, 0, 0, struct.pack(">II", 0, 0)), "it sent GOAWAY (HTTP/2 error 0)"),
        (HELLO + frame(6, 0, 0, b"short"), "it broke HTTP/2"),
        (HELLO, "it closed the connection"),
        (b"", "it closed the connection"),
        (OK, "it broke HTTP/2"),
    ],
)
async def test_grpc_answers(answer: bytes, text: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer[: len(HELLO)])
        if answer.startswith(HELLO):
            await reader.readuntil(encode_request(""))
        writer.write(answer[len(HELLO) :])
        writer.close()

    async with listening(serve) as port:
        verdict = await perform(Probe(Grpc(port), 20), HOST, "kube-probe/1.30")
    assert text in verdict.text
    assert verdict.healthy is (text == "SERVING")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"\0\0\0\0\0", 0),
        (b"\0\0\0\0\2\x08\1", 1),
        (b"", -1),
        (b"\1\0\0\0\2\x08\1", -1),
        (b"\0\0\0\0\2\x10\1", -1),
        (b"\0\0\0\0\3\x08\x81\1", -1),
    ],
)
def test_a_health_answer(answer: bytes, status: int) -> None:
    assert decode_status(answer) == status


def test_a_long_service_name() -> None:
    assert encode_request("x" * 200) == b"\0\0\0\0\xcb\x0a\xc8\x01" + b"x" * 200
