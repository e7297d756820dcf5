"""A TLS ClientHello as far as a proxy may look: the name that is asked for, and the protocols that are offered.

RFC 8446, sections 4.1.2 and 5.1; RFC 6066, section 3; RFC 7301. A hello may span records (post-quantum ones span
segments, some clients split it on purpose), so it is put together first, bounded in bytes and in records.

Invariant: what more bytes say never changes an answer that was given.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_HELLO_BYTES = 16_384
_MAX_RECORDS = 32
_RECORD_HEAD_BYTES = 5
_MAX_RECORD_BYTES = 16_384
# Enough to see a whole hello, with its records' heads.
MAX_BYTES = MAX_HELLO_BYTES + _MAX_RECORDS * _RECORD_HEAD_BYTES

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
_ALPN = 16


class Hello(NamedTuple):
    """`server_name` is in lower case, '' where none is given, or where the hello is too large to be read."""

    server_name: str = ""
    protocols: tuple[str, ...] = ()


class Malformed(Exception):
    """It begins like a ClientHello and is none."""


def read_hello(data: bytes) -> Hello | int | None:
    """The hello that a connection begins with; how many bytes it takes to tell more; or None where it is no TLS."""
    message = b""
    size = 0
    at = 0
    for _record in range(_MAX_RECORDS):
        head = data[at : at + _RECORD_HEAD_BYTES]
        if not _may_be_record(head):
            return None
        if len(head) < _RECORD_HEAD_BYTES:
            return len(data) + 1
        length = head[3] << 8 | head[4]
        if not 0 < length <= _MAX_RECORD_BYTES:
            return None
        begin = at + _RECORD_HEAD_BYTES
        at = begin + length
        message += data[begin:at]
        if message and message[0] != _CLIENT_HELLO:
            return None
        if len(message) >= 4:
            size = 4 + int.from_bytes(message[1:4], "big")
            if size > MAX_HELLO_BYTES:
                return Hello()
            if len(message) >= size:
                return _parse_whole(message[4:size])
        if len(data) < at:
            return min(at, len(data) + (max(4, size) - len(message) if message else 1))
    return Hello()


def _may_be_record(head: bytes) -> bool:
    """Whether this may be the beginning of a record's head: a handshake of SSL 3.0 to TLS 1.3."""
    return (not head or head[0] == _HANDSHAKE) and (len(head) < 2 or head[1] == 3) and (len(head) < 3 or head[2] <= 4)


def _parse_whole(body: bytes) -> Hello | None:
    try:
        return parse_hello(body)
    except Malformed:
        return None


def parse_hello(body: bytes) -> Hello:
    """Read a whole ClientHello, less its handshake head."""
    if len(body) < 34 or body[0] != 3:
        raise Malformed
    at = 34  # the version and the random
    for width, least in ((1, 0), (2, 2), (1, 1)):  # session id, cipher suites, compression methods
        vector, at = _take(body, at, width)
        if len(vector) < least:
            raise Malformed
    if at == len(body):
        return Hello()
    extensions, at = _take(body, at, 2)
    if at != len(body):
        raise Malformed
    found = _split_extensions(extensions)
    return Hello(_read_server_name(found.get(_SERVER_NAME)), _read_protocols(found.get(_ALPN)))


def _take(data: bytes, at: int, width: int) -> tuple[bytes, int]:
    """A vector with a length of `width` bytes before it, and where it ends."""
    begin = at + width
    end = begin + int.from_bytes(data[at:begin], "big")
    if len(data) < begin or len(data) < end:
        raise Malformed
    return data[begin:end], end


def _split_extensions(data: bytes) -> dict[int, bytes]:
    """By type; one that comes twice is a fault, since two readers could take different ones."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        kind = int.from_bytes(data[at : at + 2], "big")
        value, at = _take(data, at + 2, 2)
        if kind in found:
            raise Malformed
        found[kind] = value
    return found


def _read_server_name(extension: bytes | None) -> str:
    if extension is None:
        return ""
    names, end = _take(extension, 0, 2)
    if end != len(extension) or not names or names[0] != _HOST_NAME:
        raise Malformed
    name, end = _take(names, 1, 2)
    if end != len(names) or not name or not name.isascii() or not name.decode("ascii").isprintable():
        raise Malformed
    return name.decode("ascii").lower()


def _read_protocols(extension: bytes | None) -> tuple[str, ...]:
    if extension is None:
        return ()
    names, end = _take(extension, 0, 2)
    if end != len(extension):
        raise Malformed
    found = []
    at = 0
    while at < len(names):
        name, at = _take(names, at, 1)
        if not name:
            raise Malformed
        found.append(name.decode("latin-1"))
    return tuple(found)
