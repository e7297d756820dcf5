"""Cuts a stream of bytes into lines, within bounds and in linear time, however the bytes arrive."""

from __future__ import annotations


class LineTooLong(Exception):
    """A line passed the bound; the stream cannot be read any further."""


class LineSplitter:
    """Any chunking of the same bytes gives the same lines. An end without a newline is no line: it may be cut off."""

    __slots__ = ("_begun", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begun = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their newlines."""
        *lines, rest = data.split(b"\n")
        if lines:
            self._begun += lines[0]
            lines[0] = bytes(self._begun)
            self._begun.clear()
        self._begun += rest
        if len(self._begun) > self._max_bytes or any(len(line) > self._max_bytes for line in lines):
            raise LineTooLong
        return lines
