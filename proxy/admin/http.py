"""As much of HTTP/1.1 (RFC 9112) as the admin port speaks: heads are read strictly, answers framed explicitly."""

from __future__ import annotations

from collections.abc import Iterable

REASONS = {
    200: "OK", 202: "Accepted", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip
TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
TOKEN_CHARS = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Request:
    """The head of a request; header names are in lower case. `is_own` where it comes from this host or pod."""

    __slots__ = ("headers", "is_own", "method", "path", "version")

    def __init__(self, method: str, path: str, version: str, headers: dict[str, str]) -> None:
        self.method = method
        self.path = path
        self.version = version
        self.headers = headers
        self.is_own = False


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
            f"cache-control: no-store\r\nx-content-type-options: nosniff\r\n{self.extra}{framing}"
            "connection: close\r\n\r\n"
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
