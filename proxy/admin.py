"""The admin port: probes, metrics, the configuration, and the way to end the proxy; a strict and small HTTP/1.1 server.

One request a connection (`Connection: close`): it is asked a few times a minute, and there is no pipelining to get wrong.
A web page in a browser on the same machine must not end the proxy, or read its configuration, by way of DNS rebinding: a
request with an `Origin` may not change anything, and `/shutdown` and `/config` want an address or `localhost` as Host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from proxy.config.values import ValueProblem, is_ipv4, is_ipv6, parse_address
from proxy.errors import ConfigError
from proxy.route.model import Address

MAX_CONNECTIONS = 64
MAX_HEAD_BYTES = 8192
HEAD_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0  # for the whole answer, which a slow reader may hold up

REASONS = {
    200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
METRICS = "text/plain; version=0.0.4; charset=utf-8"
TOKEN_CHARS = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Request:
    """The head of a request; header names are in lower case."""

    __slots__ = ("headers", "method", "path", "version")

    def __init__(self, method: str, path: str, version: str, headers: dict[str, str]) -> None:
        self.method = method
        self.path = path
        self.version = version
        self.headers = headers


class Answer:
    """A status and a body, which is made piece by piece while it is sent."""

    __slots__ = ("body", "content_type", "extra", "status")

    def __init__(self, status: int, body: str | Iterable[bytes], content_type: str = TEXT, extra: str = "") -> None:
        self.status = status
        self.body = iter([body.encode()] if isinstance(body, str) else body)
        self.content_type = content_type
        self.extra = extra

    def encode_head(self, chunked: bool) -> bytes:
        framing = "transfer-encoding: chunked\r\n" if chunked else ""
        return (
            f"HTTP/1.1 {self.status} {REASONS[self.status]}\r\ncontent-type: {self.content_type}\r\n"
            f"cache-control: no-store\r\nx-content-type-options: nosniff\r\n{self.extra}{framing}connection: close\r\n\r\n"
        ).encode()


class Refusal(Exception):
    """The request cannot be answered otherwise than with this status and text."""

    def __init__(self, status: int, text: str, extra: str = "") -> None:
        super().__init__(text)
        self.answer = Answer(status, text + "\n", extra=extra)


def parse_head(head: bytes) -> Request:
    """Read a request line and headers (RFC 9112), without the empty line; what is not exactly that is refused."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not is_token(parts[0]) or not parts[1].startswith("/") or not is_visible(parts[1]):
        raise Refusal(400, "the request line is no METHOD PATH VERSION")
    method, target, version = parts
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Refusal(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        if not colon or not is_token(name) or any(char in "\r\n\0" for char in value):
            raise Refusal(400, "a header is no NAME: VALUE")
        if name in headers and name in ("host", "content-length", "transfer-encoding", "origin"):
            raise Refusal(400, f"{name} is given twice")
        headers[name] = value
    if version == "HTTP/1.1" and "host" not in headers:
        raise Refusal(400, "the host header is missing")
    return Request(method, target.partition("?")[0], version, headers)


def is_token(text: str) -> bool:
    return bool(text) and text.isascii() and TOKEN_CHARS.issuperset(text.encode())


def is_visible(text: str) -> bool:
    return all("!" <= char <= "~" for char in text)


def is_local_host(host: str) -> bool:
    """Tell whether a Host header is an address or `localhost`: no name that a stranger's DNS could point here."""
    try:
        name = parse_address(host if host.rpartition(":")[2].isdigit() and not host.endswith("]") else f"{host}:1").host
    except ValueProblem:
        return False
    return is_ipv4(name) or is_ipv6(name) or name == "localhost"


def encode_json(value: Any) -> str:
    """Write dataclasses, tuples and plain values as JSON."""
    import json  # only where somebody asks

    return json.dumps(value, default=plain, indent=2) + "\n"


def plain(value: Any) -> Any:
    """Turn one dataclass into a mapping, for `json`."""
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no part of a configuration")
    return {field.name: getattr(value, field.name) for field in fields(value)}


class Admin:
    """What there is to ask, and the connections that ask."""

    def __init__(
        self,
        ready: Callable[[], str],
        metrics: Callable[[], Iterator[bytes]],
        config: Callable[[], object],
        shutdown: Callable[[], None],
    ) -> None:
        """`ready` returns why the proxy is not, or an empty string; `shutdown` only begins it."""
        self._ready = ready
        self._metrics = metrics
        self._config = config
        self._shutdown = shutdown
        self._connections: set[AdminConnection] = set()
        self._server: asyncio.Server | None = None
        self._pages: dict[str, tuple[str, Callable[[], Answer]]] = {
            "/": ("GET", self._answer_index),
            "/live": ("GET", lambda: Answer(200, "live\n")),
            "/ready": ("GET", self._answer_ready),
            "/metrics": ("GET", lambda: Answer(200, self._metrics(), METRICS)),
            "/config": ("GET", lambda: Answer(200, encode_json(self._config()), JSON)),
            "/shutdown": ("POST", self._answer_shutdown),
        }

    async def start(self, address: Address) -> Address:
        """Listen; return the address, which has a port where it was 0."""
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: AdminConnection(self), address.host, address.port)
        except OSError as error:
            raise ConfigError(f"cannot listen on the admin address {address}: {error.strerror or error}") from None
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    async def stop(self) -> None:
        """Stop to listen, and drop the connections that there still are."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()

    def admit(self, connection: AdminConnection) -> bool:
        """Take a new connection in, unless there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: AdminConnection) -> None:
        self._connections.discard(connection)

    def answer(self, request: Request) -> Answer:
        """Answer a request, HEAD as GET."""
        page = self._pages.get(request.path)
        if page is None:
            raise Refusal(404, "not found; / lists what there is")
        method, make = page
        if request.method != method and not (request.method == "HEAD" and method == "GET"):
            allowed = "GET, HEAD" if method == "GET" else method
            raise Refusal(405, f"{request.path} wants {allowed}", f"allow: {allowed}\r\n")
        if request.path in ("/shutdown", "/config"):
            if method == "POST" and ("origin" in request.headers or "sec-fetch-site" in request.headers):
                raise Refusal(403, "not for web pages")
            if not is_local_host(request.headers.get("host", "")):
                raise Refusal(403, "not for this Host: ask by IP address, or as localhost")
        return make()

    def _answer_index(self) -> Answer:
        return Answer(200, "".join(f"{method} {path}\n" for path, (method, _) in self._pages.items() if path != "/"))

    def _answer_ready(self) -> Answer:
        reason = self._ready()
        return Answer(503, f"not ready: {reason}\n") if reason else Answer(200, "ready\n")

    def _answer_shutdown(self) -> Answer:
        self._shutdown()
        return Answer(202, "shutting down\n")


class AdminConnection(asyncio.Protocol):
    """One connection: a head, an answer, and then the peer's end of file, so that a close loses nothing."""

    __slots__ = ("_admin", "_answer", "_chunked", "_head", "_paused", "_timer", "_transport")

    def __init__(self, admin: Admin) -> None:
        self._admin = admin
        self._head = bytearray()
        self._answer: Answer | None = None
        self._chunked = False
        self._paused = False
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._admin.admit(self):
            self._set_timer(HEAD_TIMEOUT_S, self._time_out)
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._admin.forget(self)
        if self._timer is not None:
            self._timer.cancel()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _set_timer(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, callback)

    def _time_out(self) -> None:
        self._begin(Refusal(408, f"the request's head took longer than {HEAD_TIMEOUT_S:g} s").answer, True, False)

    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            return  # a body, which no page has a use for
        searched = max(0, len(self._head) - 3)
        self._head += data
        end = self._head.find(b"\r\n\r\n", searched)
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._head) > MAX_HEAD_BYTES):
            self._begin(Refusal(431, f"the request's head is larger than {MAX_HEAD_BYTES} bytes").answer, True, False)
        elif end >= 0:
            self._respond(bytes(self._head[:end]))

    def _respond(self, head: bytes) -> None:
        with_body, chunked = True, False
        try:
            request = parse_head(head)
            with_body, chunked = request.method != "HEAD", request.version == "HTTP/1.1"
            answer = self._admin.answer(request)
        except Refusal as refusal:
            answer = refusal.answer
        self._begin(answer, with_body, chunked)

    def _begin(self, answer: Answer, with_body: bool, chunked: bool) -> None:
        if self._transport is None:
            return
        self._head.clear()
        if not with_body:
            answer.body = iter(())
        self._answer = answer
        self._chunked = chunked and with_body
        self._set_timer(ANSWER_TIMEOUT_S, self.abort)
        self._transport.write(answer.encode_head(chunked))
        self._send_next()

    def _send_next(self) -> None:
        """Send one piece; the loop serves others before the next."""
        if self._transport is None or self._answer is None or self._paused:
            return
        piece = next(self._answer.body, None)
        if piece is None:
            if self._chunked:
                self._transport.write(b"0\r\n\r\n")
            self._transport.write_eof()
            return
        if piece:
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
        asyncio.get_running_loop().call_soon(self._send_next)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_next()
