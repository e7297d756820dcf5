"""Encoding with a dynamic table of our own (RFC 7541), for the few header blocks that are worth it.

Why it exists: a client names a field of 4 KB by one byte of index. Passed on as a literal it would cost the endpoint a
thousand times what it cost the client, on every request: a token of 1 KB does that in honest traffic. So a block whose
references stand for much (`HeaderBlock.bulky`) is sent with references to the receiver's table too. All other blocks
stay literals without a table, which costs nothing on the way (docs/decisions/0014).
Only fields that came by reference are kept here: what its sender does not expect to come again is not worth a place.
Invariant: the entries are what the receiver's table holds, in order, and never above what its SETTINGS allow.
"""

from __future__ import annotations

from collections import deque

from proxy.codec.fields import STATIC_ENTRIES, STATIC_NAMES, Field, encode_integer

MAX_TABLE_BYTES = 4096
# A shorter field is not worth the look-up.
_MIN_BYTES = 32


class Encoder:
    """The sending end of one connection's dynamic table; made when the first bulky block is sent."""

    __slots__ = ("_announced", "_capacity_bytes", "_entries", "_free_bytes", "_inserted", "_numbers")

    def __init__(self, capacity_bytes: int) -> None:
        self._capacity_bytes = capacity_bytes
        self._free_bytes = capacity_bytes
        self._announced = False
        # By output form: the number of the entry, counted from the first that was ever inserted.
        self._numbers: dict[bytes, int] = {}
        self._entries: deque[Field] = deque()
        self._inserted = 0

    def encode(self, fields: list[Field]) -> bytes:
        """The block; to be sent before any other is encoded."""
        pieces: list[bytes] = []
        if not self._announced:
            # The connection's first block has set the table's size to 0 (`Sender.send_headers`).
            self._announced = True
            pieces.append(encode_integer(self._capacity_bytes, 5, 0x20))
        for field in fields:
            if field.repeated and len(field.encoded) >= _MIN_BYTES:
                pieces.append(self._refer(field))
            else:
                pieces.append(field.encoded)
        return b"".join(pieces)

    def _refer(self, field: Field) -> bytes:
        number = self._numbers.get(field.encoded, -1)
        if number >= 0:
            return encode_integer(STATIC_ENTRIES + self._inserted - number, 7, 0x80)
        if field.size > self._capacity_bytes:
            return field.encoded
        while self._free_bytes < field.size:
            oldest = self._entries.popleft()
            del self._numbers[oldest.encoded]
            self._free_bytes += oldest.size
        self._free_bytes -= field.size
        self._numbers[field.encoded] = self._inserted
        self._entries.append(field)
        self._inserted += 1
        return encode_indexed(field)


def encode_indexed(field: Field) -> bytes:
    """A literal that the receiver shall keep (RFC 7541, section 6.2.1), of a field that may be kept."""
    label = field.label
    index = STATIC_NAMES.get(label.text, 0)
    name = b"" if index else label.literal[1:]
    return encode_integer(index, 6, 0x40) + name + field.encoded[len(label.literal) :]
