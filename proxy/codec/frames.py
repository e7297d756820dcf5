"""Encoding of HTTP/2 frames (RFC 9113, sections 4.1 and 6). Pure functions from values to wire bytes.

A frame goes out as pieces, which are joined once with all others of a flush: here is the head, the payload is as it is.
"""

from __future__ import annotations

from proxy.codec.buffer import cut
from proxy.codec.constants import (
    ACK,
    CONTINUATION,
    DEFAULT_MAX_FRAME_BYTES,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)

SETTINGS_ACK = b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
# Written and cut without anything in between, so one is enough.
_HEAD = bytearray(9)


def encode_head(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The nine bytes of a frame header."""
    p = _HEAD
    p[0] = length >> 16
    p[1] = length >> 8 & 0xFF
    p[2] = length & 0xFF
    p[3] = kind
    p[4] = flags
    p[5] = stream_id >> 24
    p[6] = stream_id >> 16 & 0xFF
    p[7] = stream_id >> 8 & 0xFF
    p[8] = stream_id & 0xFF
    return cut(_HEAD, 0, 9)


def encode_number(value: int) -> bytes:
    """Four bytes: a stream id, an error code, a window's increment."""
    return value.to_bytes(4, "big")


def encode_settings(values: dict[int, int]) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items())
    return encode_head(len(payload), SETTINGS, 0, 0) + payload


def encode_ping(opaque: bytes, ack: bool = False) -> bytes:
    """`opaque` is exactly 8 bytes."""
    return encode_head(8, PING, ACK if ack else 0, 0) + opaque


def encode_goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    return encode_head(8 + len(debug), GOAWAY, 0, 0) + encode_number(last_stream_id) + encode_number(code) + debug


def encode_rst_stream(stream_id: int, code: int) -> bytes:
    return encode_head(4, RST_STREAM, 0, stream_id) + encode_number(code)


def encode_window_update(stream_id: int, increment_bytes: int) -> bytes:
    return encode_head(4, WINDOW_UPDATE, 0, stream_id) + encode_number(increment_bytes)


def encode_headers(stream_id: int, block: bytes, end_stream: bool) -> bytes:
    """HEADERS, and CONTINUATIONs where the block exceeds the frame size that every peer accepts."""
    flags = END_STREAM if end_stream else 0
    size = len(block)
    if size <= DEFAULT_MAX_FRAME_BYTES:
        return encode_head(size, HEADERS, flags | END_HEADERS, stream_id) + block
    step = DEFAULT_MAX_FRAME_BYTES
    pieces = [encode_head(step, HEADERS, flags, stream_id), block[:step]]
    for start in range(step, size, step):
        part = block[start : start + step]
        last = END_HEADERS if start + step >= size else 0
        pieces += (encode_head(len(part), CONTINUATION, last, stream_id), part)
    return b"".join(pieces)
