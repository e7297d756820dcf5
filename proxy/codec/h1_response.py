"""Heads of HTTP/1 responses as the relay sees them, each already made for the client.

They are shared by all responses that began with the same bytes, so read-only.
"""

from __future__ import annotations

from proxy.codec.h1_fault import BAD_REQUEST, URI_TOO_LONG, MessageFault
from proxy.codec.h1_fields import CONTROL_CHARACTER, REFUSED, Fields, is_legal, without
from proxy.codec.h1_head import (
    CHUNKED,
    LENGTH,
    LINE_TOO_LONG,
    MAX_LINE_BYTES,
    NO_BODY,
    UNTIL_CLOSE,
    VERSIONS,
    check_bytes,
)
from proxy.codec.values import read_number

_CONTENT_LENGTH = frozenset((b"content-length",))
_NO_BODY, _LENGTH, _CHUNKED, _UNTIL_CLOSE = NO_BODY, LENGTH, CHUNKED, UNTIL_CLOSE
# What does not begin like this is not waited for.
RESPONSE_START = b"HTTP/1."
_NO_CONTENT = 204
_NOT_MODIFIED = 304


class ResponseHead:
    """`encoded` is the whole head for the client; what this hop says of framing and connection is put before its end.

    `refused` where the sidecar there says that no application has seen the request.
    """

    __slots__ = (
        "close",
        "content_length",
        "encoded",
        "framing",
        "informational",
        "keep_alive_s",
        "refused",
        "retry_after_s",
        "status",
        "websocket",
    )

    close: bool
    content_length: int
    encoded: bytes
    framing: int
    informational: bool
    keep_alive_s: float
    refused: bool
    retry_after_s: float
    status: int
    websocket: bool


def read_response(raw: bytes, max_bytes: int, max_fields: int) -> ResponseHead:
    """Read a whole head, its empty line included; `framing` is that of an answer to anything but HEAD."""
    if len(raw) > max_bytes:
        check_bytes(raw, max_bytes, max_fields, RESPONSE_START)
    try:
        return parse_response(raw, max_fields)
    except MessageFault:
        check_bytes(raw, max_bytes, max_fields, RESPONSE_START)
        raise


def parse_response(raw: bytes, max_fields: int) -> ResponseHead:
    """The same, but of several faults it may find any."""
    after = raw.find(b"\r\n") + 2
    first = raw[: after - 2]
    if after > MAX_LINE_BYTES + 2:
        raise MessageFault(URI_TOO_LONG, LINE_TOO_LONG)
    status, minor = read_status_line(first)
    fields = Fields(True)
    fields.read(raw, after, len(raw) - 2, max_fields)
    if fields.chunked and minor == 0:
        raise MessageFault(BAD_REQUEST, "transfer-encoding in HTTP/1.0")
    head = ResponseHead()
    head.status = status
    head.informational = status < 200
    head.close = fields.close or (minor == 0 and not fields.keep_alive)
    head.content_length = fields.content_length
    head.retry_after_s = fields.retry_after_s
    head.keep_alive_s = fields.keep_alive_s
    head.refused = fields.tokens is not None and REFUSED in fields.tokens
    head.websocket = status == 101 and fields.wants_upgrade()
    if head.informational or status in (_NO_CONTENT, _NOT_MODIFIED):
        head.framing = _NO_BODY
    elif fields.chunked:
        head.framing = _CHUNKED
    elif fields.content_length < 0:
        head.framing = _UNTIL_CLOSE
    else:
        head.framing = _LENGTH if fields.content_length else _NO_BODY
    head.encoded = encode_response(head, raw, first, fields, minor)
    return head


def read_status_line(line: bytes) -> tuple[int, int]:
    """Status and minor version; the blank before an empty reason may be missing, since it often is."""
    minor = VERSIONS.get(line[:8], -1)
    status = read_number(line[9:12], 3, 3)
    if minor < 0 or line[8:9] != b" " or status < 100 or line[12:13] not in (b"", b" "):
        raise MessageFault(BAD_REQUEST, "illegal status line")
    if not is_legal(line):
        raise MessageFault(BAD_REQUEST, CONTROL_CHARACTER)
    return status, minor


def encode_response(head: ResponseHead, raw: bytes, first: bytes, fields: Fields, minor: int) -> bytes:
    """The head for the client, always in HTTP/1.1, but for framing and connection."""
    has_length = fields.content_length >= 0
    drop_length = has_length and (head.informational or head.status == _NO_CONTENT)
    if minor == 1 and not fields.altered and not drop_length:
        return raw
    # A length is not allowed there (RFC 9110, section 8.6), and misread by some.
    kept = without(fields.kept(), _CONTENT_LENGTH) if drop_length else fields.kept()
    switch = b"upgrade: websocket\r\nconnection: upgrade\r\n" if head.websocket else b""
    return b"HTTP/1.1%b\r\n%b%b\r\n" % (first[8:], kept, switch)
