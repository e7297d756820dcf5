"""Decoding of header blocks (RFC 7541): `Decoder` owns the dynamic table of one direction of one connection.

Entries of the table carry their output form, so an indexed field is one look-up. Every literal is Huffman-decoded and
checked, since upstream connections are shared and one client's bad block must not kill another's stream.
Invariants: after `decode` the table is what the peer's encoder thinks it is, or CompressionFault was raised and the
connection is lost; no read goes past the block; time and memory are bounded by the block and the table, whatever it
says (an oversize list is decoded to the end, but not collected; an absurd one ends the connection).
What a block refers to in the table costs its sender a byte each, and us its full length when it is passed on. So that
is counted, and a list that refers to more than twice what the table can hold is oversize: an honest one names each
entry once, an attacker the same 4 KB fifteen times.
Our limit of the table is never lowered, so the size update which RFC 7541 4.2 demands after that is never awaited.
"""

from __future__ import annotations

from proxy.codec.constants import ENHANCE_YOUR_CALM
from proxy.codec.errors import CompressionFault, ConnectionFault
from proxy.codec.fields import NO_FIELD, STATIC_ENTRIES, STATIC_FIELDS, Field, FieldName, make_literal, make_name
from proxy.codec.huffman import decode_huffman

DEFAULT_TABLE_BYTES = 4096
DEFAULT_LIST_BYTES = 61_440
DEFAULT_FIELDS = 100
MAX_INTEGER = 2**31 - 1
MAX_SHIFT = 28  # five octets after the prefix: more can only be padding
COMPACT_ENTRIES = 64
MAX_NAMES = 512
MAX_NAME_BYTES = 64
# A block with more than so many times the fields that are allowed is not worth the time to read it to its end.
_ABANDON_FACTOR = 4
# In output form, all references of a block together.
MAX_REFERRED_BYTES = 2 * DEFAULT_TABLE_BYTES

# Raw name literal -> name, shared by all connections. Emptied when full: no peer can fill it for ever.
_NAMES: dict[bytes, FieldName] = {}


class Decoder:
    """After each `decode`: `changed` if the table changed or was told to, `oversize` if the list was above the limits,
    how many `literals` the block had, and how many bytes of output its references to the table stand for.
    """

    __slots__ = (
        "_at",
        "_capacity_bytes",
        "_first",
        "_limit_bytes",
        "_max_fields",
        "_max_list_bytes",
        "_table",
        "changed",
        "literals",
        "oversize",
        "referred_bytes",
        "table_bytes",
    )

    def __init__(
        self,
        max_table_bytes: int = DEFAULT_TABLE_BYTES,
        max_list_bytes: int = DEFAULT_LIST_BYTES,
        max_fields: int = DEFAULT_FIELDS,
    ) -> None:
        if max_table_bytes < DEFAULT_TABLE_BYTES:
            raise ValueError("a peer may use a table of 4096 bytes until it has seen our SETTINGS")
        self._limit_bytes = max_table_bytes
        self._capacity_bytes = DEFAULT_TABLE_BYTES
        self._max_list_bytes = max_list_bytes
        self._max_fields = max_fields
        self._table: list[Field] = []  # oldest first; the entries before _first are evicted
        self._first = 0
        self._at = 0
        self.table_bytes = 0
        self.literals = 0
        self.referred_bytes = 0
        self.changed = False
        self.oversize = False

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a complete header block, up to the first that is too much."""
        fields: list[Field] = []
        table = self._table
        room = self._max_list_bytes
        left = self._max_fields
        p = block
        end = len(block)
        at = 0
        self.changed = False
        self.literals = 0
        self.referred_bytes = 0
        while at < end and p[at] & 0xE0 == 0x20:
            at = self._resize(block, at)
        while at < end:
            first = p[at]
            if first > 0x80 and first <= 0x80 + STATIC_ENTRIES:
                field = STATIC_FIELDS[first - 0x80]
                at += 1
            elif first >= 0x80:
                index = first & 0x7F
                at += 1
                if index == 0x7F:
                    index = self._read_integer(block, at, 0x7F)
                    at = self._at
                slot = len(table) + STATIC_ENTRIES - index
                if index > STATIC_ENTRIES and slot >= self._first:
                    field = table[slot]
                    field.repeated = True
                    self.referred_bytes += len(field.encoded)
                else:
                    field = self._find(index)
            else:
                field = self._read_literal(block, at)
                at = self._at
            room -= field.size
            left -= 1
            if left < -_ABANDON_FACTOR * self._max_fields:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "header block of too many fields")
            if room >= 0 and left >= 0:
                fields.append(field)
        self.oversize = room < 0 or left < 0 or self.referred_bytes > MAX_REFERRED_BYTES
        return fields

    def _find(self, index: int) -> Field:
        if index > STATIC_ENTRIES:
            slot = len(self._table) + STATIC_ENTRIES - index
            if slot >= self._first:
                return self._table[slot]
        elif index > 0:
            return STATIC_FIELDS[index]
        raise CompressionFault("index outside of the tables")

    def _read_integer(self, block: bytes, at: int, value: int) -> int:
        """Go on with an integer whose prefix is all ones (`value`); leaves the position behind it in `_at`."""
        p = block
        end = len(block)
        shift = 0
        while at < end:
            octet = p[at]
            at += 1
            value += (octet & 0x7F) << shift
            if octet < 0x80:
                if value > MAX_INTEGER:
                    raise CompressionFault("integer above 2^31 - 1")
                self._at = at
                return value
            shift += 7
            if shift > MAX_SHIFT:
                raise CompressionFault("integer of too many octets")
        raise CompressionFault("truncated integer")

    def _read_string(self, block: bytes, at: int) -> int:
        """The position where the text of the string at `at` begins; leaves its end in `_at`."""
        end = len(block)
        if at >= end:
            raise CompressionFault("truncated literal")
        p = block
        length = p[at] & 0x7F
        at += 1
        if length == 0x7F:
            length = self._read_integer(block, at, 0x7F)
            at = self._at
        if length > end - at:
            raise CompressionFault("string longer than the block")
        self._at = at + length
        return at

    def _read_literal(self, block: bytes, at: int) -> Field:
        p = block
        first = p[at]
        if first & 0xE0 == 0x20:
            raise CompressionFault("table size update after a field")
        mask = 0x3F if first >= 0x40 else 0x0F
        index = first & mask
        at += 1
        if index == mask:
            index = self._read_integer(block, at, mask)
            at = self._at
        if index == 0:
            label = self._read_name(block, at)
            at = self._at
        else:
            label = self._find(index).label
            if index > STATIC_ENTRIES:
                self.referred_bytes += len(label.literal)
        start = self._read_string(block, at)
        end = self._at
        value = decode_huffman(block, start, end) if p[at] >= 0x80 else p[start:end]
        field = make_literal(label, value, p[at:end], first & 0xF0 == 0x10)
        self.literals += 1
        if first >= 0x40:
            self._insert(field)
        return field

    def _read_name(self, block: bytes, at: int) -> FieldName:
        p = block
        start = self._read_string(block, at)
        end = self._at
        raw = p[at:end]
        label = _NAMES.get(raw)
        if label is None:
            text = decode_huffman(block, start, end) if p[at] >= 0x80 else p[start:end]
            label = make_name(text, raw)
            if end - at <= MAX_NAME_BYTES:
                if len(_NAMES) >= MAX_NAMES:
                    _NAMES.clear()
                _NAMES[raw] = label
        return label

    def _insert(self, field: Field) -> None:
        self.changed = True
        self._table.append(field)
        self.table_bytes += field.size
        if self.table_bytes > self._capacity_bytes:
            self._evict()

    def _evict(self) -> None:
        """Drop the oldest until the rest fits; a new entry above the capacity so empties the table."""
        table = self._table
        while self.table_bytes > self._capacity_bytes:
            self.table_bytes -= table[self._first].size
            table[self._first] = NO_FIELD
            self._first += 1
        if self._first >= COMPACT_ENTRIES and self._first * 2 >= len(table):
            del table[: self._first]
            self._first = 0

    def _resize(self, block: bytes, at: int) -> int:
        p = block
        size_bytes = p[at] & 0x1F
        at += 1
        if size_bytes == 0x1F:
            size_bytes = self._read_integer(block, at, 0x1F)
            at = self._at
        if size_bytes > self._limit_bytes:
            raise CompressionFault("table size update above our limit")
        self._capacity_bytes = size_bytes
        self.changed = True
        self._evict()
        return at
