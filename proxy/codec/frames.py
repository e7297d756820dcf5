"""Encoding of HTTP/2 frames (RFC 9113, sections 4.1 and 6). Pure functions from values to wire bytes.

A frame header is written as five bytes (length, type, flags) and the stream id's four; streams keep their id encoded,
so the hot path joins finished pieces.
"""

from __future__ import annotations

from proxy.codec.constants import (
    ACK,
    CONTINUATION,
    DEFAULT_MAX_FRAME_BYTES,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    SETTINGS,
)

SETTINGS_ACK = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
_RST_STREAM_HEAD = b"\x00\x00\x04\x03\x00"
_WINDOW_UPDATE_HEAD = b"\x00\x00\x04\x08\x00"


def encode_head(length: int, kind: int, flags: int) -> bytes:
    """The first five bytes of a frame header; the stream id's four follow."""
    return (length << 16 | kind << 8 | flags).to_bytes(5, "big")


def encode_id(stream_id: int) -> bytes:
    return stream_id.to_bytes(4, "big")


def encode_settings(values: dict[int, int]) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items())
    return encode_head(len(payload), SETTINGS, 0) + bytes(4) + payload


def encode_ping(opaque: bytes, ack: bool = False) -> bytes:
    """`opaque` is exactly 8 bytes."""
    return encode_head(8, PING, ACK if ack else 0) + bytes(4) + opaque


def encode_goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    return encode_head(8 + len(debug), GOAWAY, 0) + bytes(4) + encode_id(last_stream_id) + encode_id(code) + debug


def encode_rst_stream(wire_id: bytes, code: int) -> bytes:
    return _RST_STREAM_HEAD + wire_id + encode_id(code)


def encode_window_update(wire_id: bytes, increment_bytes: int) -> bytes:
    return _WINDOW_UPDATE_HEAD + wire_id + encode_id(increment_bytes)


def encode_headers(wire_id: bytes, block: bytes, end_stream: bool) -> bytes:
    """HEADERS, and CONTINUATIONs where the block exceeds the frame size that every peer accepts."""
    flags = END_STREAM if end_stream else 0
    size = len(block)
    if size <= DEFAULT_MAX_FRAME_BYTES:
        return encode_head(size, HEADERS, flags | END_HEADERS) + wire_id + block
    step = DEFAULT_MAX_FRAME_BYTES
    pieces = [encode_head(step, HEADERS, flags), wire_id, block[:step]]
    for start in range(step, size, step):
        part = block[start : start + step]
        pieces += (encode_head(len(part), CONTINUATION, END_HEADERS if start + step >= size else 0), wire_id, part)
    return b"".join(pieces)
