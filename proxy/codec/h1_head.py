"""What heads of HTTP/1 requests and responses have in common: how a body ends, and what no continuation makes right.

RFC 9112, sections 2 to 6. A fault does not depend on how the bytes came. A head is looked at before it is whole, so
that who ends lines with a bare LF is told instead of waited for.
"""

from __future__ import annotations

from proxy.codec.h1_fault import BAD_REQUEST, FIELDS_TOO_LARGE, URI_TOO_LONG, MessageFault
from proxy.codec.h1_fields import CONTROL_CHARACTER, IN_VALUE, TOO_MANY

# How a body ends (RFC 9112, section 6.3).
NO_BODY = 0
LENGTH = 1
CHUNKED = 2
UNTIL_CLOSE = 3

_IN_VALUE = IN_VALUE
_END = b"\r\n\r\n"
# Nearly every head ends soon. Compiled, a walk so near is cheaper than asking `find`; as plain Python no walk is.
_NEAR_BYTES = 0 if __file__.endswith(".py") else 1_024
MAX_LINE_BYTES = 32_768
LINE_TOO_LONG = "first line too long"
TOO_LARGE = "head too large"
TRAILERS_TOO_LARGE = "trailers too large"
NOT_HTTP1 = "not HTTP/1"
VERSIONS = {b"HTTP/1.1": 1, b"HTTP/1.0": 0}


def find_end(buf: bytearray, pos: int, end: int) -> int:
    """The position after the empty line that ends a head, -1 where that has not come."""
    p = buf
    at = pos + 3
    near = min(end, pos + _NEAR_BYTES)
    while at < near:
        if p[at] == 0x0A:
            if p[at - 1] == 0x0D and p[at - 2] == 0x0A and p[at - 3] == 0x0D:
                return at + 1
            at += 2
        elif p[at] == 0x0D:
            at += 1
        else:
            at += 4
    if near >= end:
        return -1
    found = buf.find(_END, at - 3, end)
    return found + 4 if found >= 0 else -1


class Beginning:
    """What has been looked at of a head, or of a trailer section, that is not whole: `looked` bytes, `lines` lines.

    Each byte is looked at once, however few come at a time. Refuses what no continuation makes right: what that is goes
    by position, so that a fault does not depend on how the bytes came.
    """

    __slots__ = ("lines", "looked", "max_bytes", "max_first_bytes", "max_lines", "start", "too_large", "too_many")

    def __init__(
        self, max_bytes: int, max_lines: int, max_first_bytes: int, too_large: str, too_many: str, start: bytes = b""
    ) -> None:
        """`max_first_bytes` is for the first line, which begins with `start`; the others say what is wrong."""
        self.start = start
        self.max_bytes = max_bytes
        self.max_lines = max_lines
        self.max_first_bytes = max_first_bytes
        self.too_large = too_large
        self.too_many = too_many
        self.looked = 0
        self.lines = 0

    def look(self, buf: bytearray, pos: int, end: int) -> None:
        """It is `buf[pos:end]` by now."""
        p = buf
        in_value = _IN_VALUE
        if self.looked < len(self.start):
            self._check_start(buf, pos, end)
        at = pos + self.looked
        while at < end:
            self._check_size(at - pos, p[at])
            if in_value[p[at]]:
                at += 1
                continue
            if p[at] == 0x0D and at + 1 == end:
                break
            if p[at] != 0x0D or p[at + 1] != 0x0A:
                raise MessageFault(BAD_REQUEST, CONTROL_CHARACTER)
            at += 2
            self.lines += 1
            if self.lines > self.max_lines:
                raise MessageFault(FIELDS_TOO_LARGE, self.too_many)
        self.looked = at - pos

    def look_at_whole(self, buf: bytearray, pos: int, end: int) -> None:
        """It is `buf[pos:end]`, with the empty line that ends it."""
        self.look(buf, pos, end - 2)
        if end - pos > self.max_bytes:
            raise MessageFault(FIELDS_TOO_LARGE, self.too_large)

    def _check_start(self, buf: bytearray, pos: int, end: int) -> None:
        start = self.start
        size = min(len(start), end - pos)
        if buf[pos : pos + size] != start[:size]:
            raise MessageFault(BAD_REQUEST, NOT_HTTP1)

    def _check_size(self, size: int, byte: int) -> None:
        """`byte` comes after so many."""
        if size >= self.max_bytes:
            raise MessageFault(FIELDS_TOO_LARGE, self.too_large)
        if size >= self.max_first_bytes and self.lines == 0 and byte != 0x0D:
            raise MessageFault(URI_TOO_LONG, LINE_TOO_LONG)


def begin_head(max_bytes: int, max_fields: int, start: bytes = b"") -> Beginning:
    return Beginning(max_bytes, max_fields + 1, MAX_LINE_BYTES, TOO_LARGE, TOO_MANY, start)


def begin_trailers(max_bytes: int, max_fields: int) -> Beginning:
    return Beginning(max_bytes, max_fields, max_bytes, TRAILERS_TOO_LARGE, TRAILERS_TOO_LARGE)


def check_bytes(head: bytes, max_bytes: int, max_fields: int, start: bytes = b"") -> None:
    """Refuse a whole head for what it would have been refused for had it come byte by byte."""
    begin_head(max_bytes, max_fields, start).look_at_whole(bytearray(head), 0, len(head))
