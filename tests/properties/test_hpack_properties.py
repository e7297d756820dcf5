"""HPACK held against the `hpack` library, the memo against its absence, and the decoder against garbage."""

from __future__ import annotations

import hpack
import pytest
from hpack.exceptions import HPACKError
from hypothesis import event, example, given
from hypothesis import strategies as st

from proxy.codec.errors import CompressionFault, ConnectionFault
from proxy.codec.fields import Field, encode_field, make_field
from proxy.codec.headers import HeaderBlock, HeaderReader
from proxy.codec.hpack import Decoder

Header = tuple[bytes, bytes, bool]

NAMES = st.sampled_from([b":method", b":path", b"te", b"grpc-timeout", b"cookie", b"x", b"traceparent"]) | st.binary(
    min_size=1, max_size=80
)
VALUES = st.sampled_from([b"GET", b"/", b"", b"trailers"]) | st.binary(max_size=300)
HEADERS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=8)
BLOCKS = st.lists(st.tuples(HEADERS, st.booleans(), st.none() | st.integers(0, 4096)), max_size=8)
# Blocks that a byte or two of garbage makes interesting.
PIECES = st.sampled_from(
    [
        *(b"\x82", b"\x83\x84", b"\x86\x87", b"\x88", b"\xbe", b"\xbf", b"\xc0", b"\xff\x80\x01"),
        *(b"\x20", b"\x3f\xe1\x1f", b"\x3f\x21"),
        *(b"\x40\x01x\x01y", b"\x7e\x02ab", b"\x40\x81\xf3\x81\x1f", b"\x58\x86\xa8\xeb\x10\x64\x9c\xbf"),
        *(b"\x00\x01z\x00", b"\x10\x01n\x01v", b"\x1f\x2f\x01w", b"\x0f\x0d\x011"),
        b"\x40\x7f\x80\x01" + b"l" * 255,
    ]
)
GARBAGE = st.lists(PIECES | st.binary(max_size=4), max_size=20).map(b"".join)


def encode_blocks(plan: list[tuple[list[Header], bool, int | None]]) -> list[bytes]:
    encoder = hpack.Encoder()
    blocks = []
    for headers, huffman, table_bytes in plan:
        if table_bytes is not None:
            encoder.header_table_size = table_bytes
        blocks.append(encoder.encode(headers, huffman=huffman))
    return blocks


def find_pairs(fields: list[Field]) -> list[tuple[bytes, bytes]]:
    return [(field.name, field.value) for field in fields]


def describe(block: HeaderBlock) -> tuple[object, ...]:
    names = (name for name in dir(block) if not name.startswith("_") and name != "fields")
    return find_pairs(block.fields), *(getattr(block, name) for name in names)


@given(BLOCKS)
def test_decodes_as_the_library_does(plan: list[tuple[list[Header], bool, int | None]]) -> None:
    oracle, decoder = hpack.Decoder(), Decoder(max_fields=10**6, max_list_bytes=10**6)
    for block, (headers, _, _) in zip(encode_blocks(plan), plan, strict=True):
        before = decoder.table_bytes
        pairs = [tuple(pair) for pair in oracle.decode(block, raw=True)]
        assert find_pairs(decoder.decode(block)) == pairs == [(name, value) for name, value, _ in headers]
        assert decoder.table_bytes == oracle.header_table._current_size
        assert decoder.changed or decoder.table_bytes == before


@given(BLOCKS)
def test_output_means_the_same_without_a_table(plan: list[tuple[list[Header], bool, int | None]]) -> None:
    decoder = Decoder()
    for block, (headers, _, _) in zip(encode_blocks(plan), plan, strict=True):
        output = b"".join(field.encoded for field in decoder.decode(block))
        again = Decoder()
        fields = again.decode(output)
        assert not again.changed
        assert b"".join(field.encoded for field in fields) == output
        found = hpack.Decoder().decode(output, raw=True)
        assert [tuple(pair) for pair in found] == [(name, value) for name, value, _ in headers]
        for (_, _, sensitive), pair, field in zip(headers, found, fields, strict=True):
            # The library takes an exact match from a table even for a sensitive field; then it is no secret.
            assert pair.indexable == (field.encoded[0] & 0xF0 != 0x10)
            assert sensitive or pair.indexable


@given(st.binary(max_size=80), st.binary(max_size=300), st.booleans())
def test_fields_of_our_own_are_read_back(name: bytes, value: bytes, never_indexed: bool) -> None:
    code = encode_field(name, value, never_indexed)
    (pair,) = hpack.Decoder().decode(code, raw=True)
    assert tuple(pair) == (name, value)
    assert pair.indexable != never_indexed
    (field,) = Decoder().decode(code)
    assert (field.encoded, field.kind) == (code, make_field(name, value).kind)
    assert len(code) <= len(name) + len(value) + 7


@given(st.lists(GARBAGE, max_size=6), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=60))
def test_memo_on_is_memo_off(garbage: list[bytes], order: list[tuple[int, int]]) -> None:
    blocks = [b"\xbe", b"\x82\xbf", b"\x40\x01x\x01y", b"\xbe\x0f\x2f\x01z", *garbage]
    with_memo, without = HeaderReader(), HeaderReader(memo_bytes=0)
    for reader in (with_memo, without):
        reader.read(0, b"\x40\x01a\x01b\x40\x01c\x01d")
    for position, number in order:
        block = blocks[number % len(blocks)]
        try:
            expected = without.read(position, block)
        except CompressionFault as fault:
            with pytest.raises(CompressionFault, match=fault.reason):
                with_memo.read(position, block)
            return
        assert describe(with_memo.read(position, block)) == describe(expected)


@given(st.lists(GARBAGE | st.binary(max_size=60), max_size=6))
@example([b"\x40\x01a\x7f\x80\x1f" + b"b" * 4000, b"\xbe" * 1000])
def test_garbage_ends_in_a_compression_fault_or_as_the_library_reads_it(blocks: list[bytes]) -> None:
    oracle, decoder = hpack.Decoder(max_header_list_size=10**9), Decoder(max_fields=10**6, max_list_bytes=10**9)
    for block in blocks:
        try:
            fields = decoder.decode(block)
        except CompressionFault:
            return
        try:
            pairs = [tuple(pair) for pair in oracle.decode(block, raw=True)]
        except HPACKError as fault:
            raise AssertionError(f"only we accept {block.hex()}") from fault
        assert find_pairs(fields) == pairs


@given(st.lists(GARBAGE, max_size=6), st.integers(0, 300), st.integers(0, 6))
def test_limits_cut_the_list_but_not_the_table(blocks: list[bytes], max_list_bytes: int, max_fields: int) -> None:
    free = Decoder(max_fields=10**6, max_list_bytes=10**6)
    bounded = Decoder(max_fields=max_fields, max_list_bytes=max_list_bytes)
    for block in blocks:
        try:
            fields = free.decode(block)
        except CompressionFault:
            return
        try:
            kept = bounded.decode(block)
        except ConnectionFault:
            event("abandoned")
            assert len(fields) > 5 * max_fields
            return
        assert bounded.table_bytes == free.table_bytes
        assert find_pairs(kept) == find_pairs(fields)[: len(kept)]
        assert bounded.oversize == (len(kept) < len(fields))
        assert len(kept) <= max_fields
        assert sum(field.size for field in kept) <= max_list_bytes
