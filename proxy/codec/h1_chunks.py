"""The chunked transfer coding, read (RFC 9112, section 7.1), and written.

Invariants: a size is hex digits and nothing else, but that a response's may have blanks after it; extensions are
dropped, and bounded like Go's: a body of tiny chunks with large extensions makes work, not content. Any chunking of the
input gives the same data.
"""

from __future__ import annotations

from proxy.codec.buffer import cut
from proxy.codec.h1_fault import BAD_REQUEST, MessageFault
from proxy.codec.h1_fields import is_legal, read_trailers
from proxy.codec.h1_head import Beginning, begin_trailers, find_end

SIZE = 0
DATA = 1
DATA_END = 2
TRAILERS = 3
DONE = 4
_SIZE, _DATA, _DATA_END, _TRAILERS, _DONE = SIZE, DATA, DATA_END, TRAILERS, DONE

MAX_SIZE_LINE_BYTES = 1024
MAX_SIZE_DIGITS = 15
MAX_EXCESS_BYTES = 16_384
# What of a chunk's framing is free: a chunk may have this much, and twice its own size.
_FREE_BYTES = 16
LAST_CHUNK = b"0\r\n"


class ChunkReader:
    """Reads one body at a time. While `state` is DATA, `left` bytes of data come next; DONE once the body is over."""

    __slots__ = ("beginning", "excess_bytes", "left", "max_bytes", "max_fields", "of_response", "state", "trailers")

    def __init__(self, max_bytes: int, max_fields: int, of_response: bool) -> None:
        self.of_response = of_response
        self.max_bytes = max_bytes
        self.max_fields = max_fields
        self.begin()

    def begin(self) -> None:
        """The next body."""
        self.state = _SIZE
        self.left = 0
        self.excess_bytes = 0
        self.trailers = b""
        # Of a trailer section that is not whole.
        self.beginning: Beginning | None = None

    def advance(self, buf: bytearray, pos: int, end: int) -> int:
        """Take what is not data from `buf[pos:end]`; returns the position of the first byte not taken."""
        before = -1
        while pos != before and pos < end and self.state != _DATA and self.state != _DONE:
            before = pos
            if self.state == _SIZE:
                pos = self._read_size(buf, pos, end)
            elif self.state == _DATA_END:
                pos = self._read_data_end(buf, pos, end)
            else:
                pos = self._read_trailers(buf, pos, end)
        return pos

    def consume(self, size: int) -> None:
        """So much data was taken."""
        self.left -= size
        if self.left == 0:
            self.state = _DATA_END

    def _read_size(self, buf: bytearray, pos: int, end: int) -> int:
        p = buf
        number = 0
        at = pos
        while at < end and at - pos <= MAX_SIZE_DIGITS:
            digit = hex_digit(p[at])
            if digit < 0:
                break
            number = number << 4 | digit
            at += 1
        if at - pos > MAX_SIZE_DIGITS or (at < end and at == pos):
            raise MessageFault(BAD_REQUEST, "illegal chunk size")
        if self.of_response:
            while at < end and (p[at] == 0x20 or p[at] == 0x09) and at - pos < MAX_SIZE_LINE_BYTES:
                at += 1
        if at < end and p[at] != 0x0D and p[at] != 0x3B and at - pos < MAX_SIZE_LINE_BYTES:
            raise MessageFault(BAD_REQUEST, "illegal chunk size")
        after = at + 2
        stop = min(end, pos + MAX_SIZE_LINE_BYTES)
        if after > stop or p[at] != 0x0D or p[at + 1] != 0x0A:
            after = self._find_line_end(buf, pos, at, stop)
            if after < 0:
                return pos
        self.excess_bytes = max(0, self.excess_bytes + after - pos - _FREE_BYTES - 2 * number)
        if self.excess_bytes > MAX_EXCESS_BYTES:
            raise MessageFault(BAD_REQUEST, "chunk extensions flood")
        self.left = number
        self.state = _DATA if number else _TRAILERS
        return after

    def _find_line_end(self, buf: bytearray, pos: int, at: int, end: int) -> int:
        """After the line from `pos`, which has an extension at `at`; -1 where it has no end yet."""
        after = buf.find(b"\r\n", at, end) + 2
        if not is_legal(cut(buf, at, after if after >= 2 else end).removesuffix(b"\r")):
            raise MessageFault(BAD_REQUEST, "control character in a chunk's extension")
        if after < 2 and end - pos >= MAX_SIZE_LINE_BYTES:
            raise MessageFault(BAD_REQUEST, "chunk extension too long")
        return after if after >= 2 else -1

    def _read_data_end(self, buf: bytearray, pos: int, end: int) -> int:
        p = buf
        if p[pos] != 0x0D or (end - pos > 1 and p[pos + 1] != 0x0A):
            raise MessageFault(BAD_REQUEST, "chunk longer than its size")
        if end - pos < 2:
            return pos
        self.state = _SIZE
        return pos + 2

    def _read_trailers(self, buf: bytearray, pos: int, end: int) -> int:
        p = buf
        if p[pos] == 0x0D and end - pos < 2:
            return pos
        if p[pos] == 0x0D and p[pos + 1] == 0x0A:
            self.state = _DONE
            return pos + 2
        beginning = self.beginning
        if beginning is None:
            beginning = self.beginning = begin_trailers(self.max_bytes, self.max_fields)
        at = find_end(buf, max(pos, pos + beginning.looked - 3), end)
        if at < 0:
            beginning.look(buf, pos, end)
            return pos
        beginning.look_at_whole(buf, pos, at)
        self.trailers = read_trailers(cut(buf, pos, at - 2), self.max_fields)
        self.state = _DONE
        return at


def hex_digit(byte: int) -> int:
    """-1 for what is none."""
    if 0x30 <= byte <= 0x39:
        return byte - 0x30
    byte |= 0x20
    return byte - 0x57 if 0x61 <= byte <= 0x66 else -1


def encode_size(size: int) -> bytes:
    """What stands before a chunk's data."""
    return b"%x\r\n" % size
