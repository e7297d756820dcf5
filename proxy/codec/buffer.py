"""Bytes out of a buffer, the same way in C and in plain Python."""

from __future__ import annotations


def cut(buf: bytearray, start: int, end: int) -> bytes:
    """`buf[start:end]` as bytes; the caller has checked the bounds.

    In C the slice is bytes already, and making bytes of bytes costs as much as ten frames' parsing.
    """
    p = buf
    piece: bytes | bytearray = p[start:end]
    return piece if type(piece) is bytes else bytes(piece)
