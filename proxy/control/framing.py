"""gRPC's framing of messages (Length-Prefixed-Message of its PROTOCOL-HTTP2), sans-I/O: a flag, the length, the bytes.

Messages are bounded and never compressed: we say `grpc-accept-encoding: identity`.
"""

from __future__ import annotations

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_HEAD_BYTES = 5


class FramingError(Exception):
    """The stream cannot be read on."""


def encode_message(message: bytes) -> bytes:
    return b"\x00" + len(message).to_bytes(4, "big") + message


class Deframer:
    """Cuts what comes into messages, however it was chunked."""

    def __init__(self) -> None:
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        partial = self._partial
        partial += data
        messages = []
        pos = 0
        while len(partial) - pos >= _HEAD_BYTES:
            if partial[pos]:
                raise FramingError("it sent a compressed message, although we take none")
            size = int.from_bytes(partial[pos + 1 : pos + _HEAD_BYTES], "big")
            if size > MAX_MESSAGE_BYTES:
                raise FramingError(f"it sent a message of {size} bytes, above {MAX_MESSAGE_BYTES}")
            end = pos + _HEAD_BYTES + size
            if end > len(partial):
                break
            messages.append(bytes(partial[pos + _HEAD_BYTES : end]))
            pos = end
        del partial[:pos]
        return messages

    def is_empty(self) -> bool:
        return not self._partial
