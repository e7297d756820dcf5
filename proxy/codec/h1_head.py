"""What heads of HTTP/1 requests and responses have in common: how a body ends, and what no continuation makes right.

RFC 9112, sections 2 to 6. A fault does not depend on how the bytes came. A head is looked at before it is whole, so
that who ends lines with a bare LF is told instead of waited for.
"""

from __future__ import annotations

from proxy.codec.h1_fault import BAD_REQUEST, FIELDS_TOO_LARGE, URI_TOO_LONG, MessageFault
from proxy.codec.h1_fields import CONTROL_CHARACTER, is_legal

# How a body ends (RFC 9112, section 6.3).
NO_BODY = 0
LENGTH = 1
CHUNKED = 2
UNTIL_CLOSE = 3

_END = b"\r\n\r\n"
# Nearly every head ends soon. Compiled, a walk so near is cheaper than asking `find`; as plain Python no walk is.
_NEAR_BYTES = 0 if __file__.endswith(".py") else 1_024
MAX_LINE_BYTES = 32_768
LINE_TOO_LONG = "first line too long"
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


def check_bytes(text: bytes, max_bytes: int) -> None:
    """Refuse what no continuation makes right. `text` is a head or the beginning of one.

    The checks go by position, so that a fault does not depend on how the bytes came.
    """
    line = text.find(b"\r\n", 0, MAX_LINE_BYTES + 2)
    if line < 0:
        if not is_legal(text[:MAX_LINE_BYTES].removesuffix(b"\r")):
            raise MessageFault(BAD_REQUEST, CONTROL_CHARACTER)
        if len(text) >= MAX_LINE_BYTES + 2:
            raise MessageFault(URI_TOO_LONG, LINE_TOO_LONG)
    elif not is_legal(text[:max_bytes].removesuffix(b"\r")):
        raise MessageFault(BAD_REQUEST, CONTROL_CHARACTER)
    elif len(text) > max_bytes:
        raise MessageFault(FIELDS_TOO_LARGE, "head too large")
