from __future__ import annotations

import hpack
import pytest

from proxy.codec.constants import COMPRESSION_ERROR
from proxy.codec.errors import CompressionFault
from proxy.codec.fields import STATIC_TABLE
from proxy.codec.hpack import MAX_NAMES, Decoder

Pairs = list[tuple[bytes, bytes]]
REQUEST = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
CACHED = [*REQUEST, (b"cache-control", b"no-cache")]
CUSTOM = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/index.html"),
    (b":authority", b"www.example.com"),
    (b"custom-key", b"custom-value"),
]
LITERALS = [
    ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", [(b"custom-key", b"custom-header")], 55),
    ("040c2f73616d706c652f70617468", [(b":path", b"/sample/path")], 0),
    ("100870617373776f726406736563726574", [(b"password", b"secret")], 0),
    ("82", [(b":method", b"GET")], 0),
]
PLAIN_REQUESTS = [
    ("828684410f7777772e6578616d706c652e636f6d", REQUEST, 57),
    ("828684be58086e6f2d6361636865", CACHED, 110),
    ("828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", CUSTOM, 164),
]
HUFFMAN_REQUESTS = [
    ("828684418cf1e3c2e5f23a6ba0ab90f4ff", REQUEST, 57),
    ("828684be5886a8eb10649cbf", CACHED, 110),
    ("828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", CUSTOM, 164),
]
FOUND = [
    (b":status", b"302"),
    (b"cache-control", b"private"),
    (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
    (b"location", b"https://www.example.com"),
]
REDIRECT = [(b":status", b"307"), *FOUND[1:]]
COOKIE = [
    (b":status", b"200"),
    (b"cache-control", b"private"),
    (b"date", b"Mon, 21 Oct 2013 20:13:22 GMT"),
    (b"location", b"https://www.example.com"),
    (b"content-encoding", b"gzip"),
    (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
]
PLAIN_RESPONSES = [
    (
        "3fe101"  # the table of these examples has 256 bytes
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
        "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
        FOUND,
        222,
    ),
    ("4803333037c1c0bf", REDIRECT, 222),
    (
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738"
        "666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b"
        "2076657273696f6e3d31",
        COOKIE,
        215,
    ),
]
HUFFMAN_RESPONSES = [
    (
        "3fe101488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        FOUND,
        222,
    ),
    ("4883640effc1c0bf", REDIRECT, 222),
    (
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab"
        "77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
        COOKIE,
        215,
    ),
]


def decode_pairs(decoder: Decoder, block: bytes) -> Pairs:
    return [(field.name, field.value) for field in decoder.decode(block)]


@pytest.mark.parametrize("example", LITERALS)
def test_examples_of_representations(example: tuple[str, Pairs, int]) -> None:
    code, pairs, table_bytes = example
    decoder = Decoder()
    assert decode_pairs(decoder, bytes.fromhex(code)) == pairs
    assert decoder.table_bytes == table_bytes
    assert decoder.changed == (table_bytes > 0)


@pytest.mark.parametrize("examples", [PLAIN_REQUESTS, HUFFMAN_REQUESTS, PLAIN_RESPONSES, HUFFMAN_RESPONSES])
def test_examples_of_sequences(examples: list[tuple[str, Pairs, int]]) -> None:
    """RFC 7541, appendices C.3 to C.6; what goes out means the same without any table."""
    decoder = Decoder()
    for code, pairs, table_bytes in examples:
        fields = decoder.decode(bytes.fromhex(code))
        assert [(field.name, field.value) for field in fields] == pairs
        assert decoder.table_bytes == table_bytes
        assert decoder.changed
        assert hpack.Decoder().decode(b"".join(field.encoded for field in fields), raw=True) == pairs


def test_every_static_entry_goes_out_as_one_octet() -> None:
    for index, pair in enumerate(STATIC_TABLE, 1):
        field = Decoder().decode(bytes((0x80 | index,)))[0]
        assert (field.name, field.value) == pair
        assert field.encoded == bytes((0x80 | index,))


@pytest.mark.parametrize(
    ("block", "encoded"),
    [
        (
            "400a637573746f6d2d6b65790d637573746f6d2d686561646572",
            "000a637573746f6d2d6b65790d637573746f6d2d686561646572",
        ),
        ("408825a849e95ba97d7f8925a849e95bb8e8b4bf", "008825a849e95ba97d7f8925a849e95bb8e8b4bf"),
        ("5886a8eb10649cbf", "0f0986a8eb10649cbf"),  # a static name's index has a prefix of four bits now
        ("1f0986a8eb10649cbf", "1f0986a8eb10649cbf"),
        ("00017800", "00017800"),
        ("10017800", "10017800"),
        ("000474657374817f", "000474657374817f"),  # a Huffman string, though longer
    ],
)
def test_literals_go_out_as_they_came_but_not_indexed(block: str, encoded: str) -> None:
    assert Decoder().decode(bytes.fromhex(block))[0].encoded.hex() == encoded


def test_a_name_of_the_dynamic_table_goes_out_as_a_literal() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01x\x01a")
    (field,) = decoder.decode(b"\x1f\x2f\x01b")  # never indexed, name at index 62
    assert (field.name, field.value, field.encoded) == (b"x", b"b", b"\x10\x01x\x01b")
    assert not decoder.changed
    (field,) = decoder.decode(b"\xbe")
    assert field.encoded == b"\x00\x01x\x01a"


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ("80", "index"),
        ("be", "index"),  # 62, in an empty table
        ("ff00", "index"),
        ("7e00", "index"),
        ("0f2f00", "index"),
        ("ff80ffffff07", "index"),  # 2^31 - 1
        ("ff81ffffff07", "integer above"),
        ("ff808080808001", "too many octets"),
        ("ffffffffffffffffffffff7f", "too many octets"),
        ("ff", "truncated integer"),
        ("ff80", "truncated integer"),
        ("7f", "truncated integer"),
        ("0f", "truncated integer"),
        ("3f", "truncated integer"),
        ("00", "truncated literal"),
        ("40", "truncated literal"),
        ("4001", "longer"),
        ("400178", "truncated literal"),
        ("40017801", "longer"),
        ("4001787f", "truncated integer"),
        ("407f80ffffff07", "longer"),
        ("0001787f80ffffff07", "longer"),
        ("41", "truncated literal"),
        ("4181", "longer"),
        ("4181ff", "padding"),
        ("4084ffffffff00", "EOS"),
        ("418118", "padding"),
        ("3fe21f", "above our limit"),  # 4097
        ("823f00", "after a field"),
        ("8220", "after a field"),
    ],
)
def test_what_does_not_decode_is_a_compression_fault(block: str, reason: str) -> None:
    with pytest.raises(CompressionFault, match=reason) as fault:
        Decoder().decode(bytes.fromhex(block))
    assert fault.value.code == COMPRESSION_ERROR


def test_integers_may_be_padded_within_five_octets() -> None:
    (field,) = Decoder().decode(b"\x00\x01x\x7f\x81\x80\x80\x80\x00" + b"v" * 128)
    assert field.value == b"v" * 128


def test_size_updates() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01x\x01a")
    assert decoder.decode(b"\x20\x3f\xe1\x1f") == []  # to 0 and back to 4096
    assert decoder.changed
    assert decoder.table_bytes == 0
    with pytest.raises(CompressionFault, match="index"):
        decoder.decode(b"\xbe")


def test_a_larger_limit_is_used_only_after_an_update() -> None:
    decoder = Decoder(max_table_bytes=8192)
    value = b"\x7f\xd1\x0e" + b"v" * 2000
    decoder.decode((b"\x40\x01x" + value) * 3)
    assert decoder.table_bytes == 2 * 2033
    decoder.decode(b"\x3f\xe1\x3f" + (b"\x40\x01x" + value) * 3)
    assert decoder.table_bytes == 4 * 2033
    with pytest.raises(CompressionFault, match="above our limit"):
        decoder.decode(b"\x3f\xe2\x3f")


def test_a_limit_below_the_default_cannot_be_promised() -> None:
    with pytest.raises(ValueError, match="4096"):
        Decoder(max_table_bytes=4095)


def test_an_entry_above_the_capacity_empties_the_table() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01x\x01a")
    (field,) = decoder.decode(b"\x7e\x7f\xe1\x1f" + b"v" * 4192)  # named by the entry that it evicts
    assert (field.name, len(field.value)) == (b"x", 4192)
    assert decoder.changed
    assert decoder.table_bytes == 0


def test_the_table_stays_right_over_many_evictions() -> None:
    encoder, decoder = hpack.Encoder(), Decoder()
    for number in range(2000):
        pairs = [(b"name-%d" % (number % 7), b"%d" % number), (b"x", b"%d" % (number // 3))]
        assert decode_pairs(decoder, encoder.encode(pairs)) == pairs
        assert decoder.table_bytes <= 4096


def test_a_list_of_too_many_fields_is_cut_but_the_table_follows() -> None:
    decoder = Decoder(max_fields=3)
    assert len(decoder.decode(b"\x82" * 3)) == 3
    assert not decoder.oversize
    assert len(decoder.decode(b"\x82" * 3 + b"\x40\x01x\x01a")) == 3
    assert decoder.oversize
    assert decode_pairs(decoder, b"\xbe") == [(b"x", b"a")]
    assert not decoder.oversize


def test_cookie_crumbs_count_as_fields() -> None:
    decoder = Decoder()
    assert len(decoder.decode(b"\x0f\x11\x03a=b" * 101)) == 100
    assert decoder.oversize


def test_a_bomb_is_not_collected() -> None:
    decoder = Decoder(max_fields=10**9)
    decoder.decode(b"\x40\x01x\x7f\xa1\x1e" + b"v" * 4000)
    fields = decoder.decode(b"\xbe" * 61_440)  # 248 MB, if it were believed
    assert decoder.oversize
    assert sum(field.size for field in fields) <= 61_440
    assert not decoder.decode(b"\xbe" + b"\x0f\x00\x7f\x81\xdf\x03" + b"v" * 61_440)[1:]
    assert decoder.oversize


def test_names_are_remembered_within_bounds() -> None:
    decoder = Decoder()
    first = decoder.decode(b"\x00\x04kept\x01v")[0].label
    assert decoder.decode(b"\x00\x04kept\x01w")[0].label is first
    for number in range(MAX_NAMES):
        name = b"name-%03d" % number
        assert decode_pairs(decoder, b"\x00\x08" + name + b"\x01v") == [(name, b"v")]
    assert decoder.decode(b"\x00\x04kept\x01w")[0].label is not first


def test_long_names_are_not_remembered() -> None:
    block = b"\x00\x40" + b"n" * 64 + b"\x01v"
    assert Decoder().decode(block)[0].label is not Decoder().decode(block)[0].label


def test_a_block_whose_references_stand_for_more_than_two_tables_is_oversize() -> None:
    """Each is a byte on the wire, and would be passed on in full."""
    decoder = Decoder()
    decoder.decode(b"\x40\x04bomb\x7f\xbd\x1e" + b"b" * 4_028)
    decoder.decode(b"\x40\x04bomb\x7f\x81\x1e" + b"b" * 3_968)
    assert decoder.referred_bytes == 0
    assert len(decoder.decode(b"\xbe" * 2)) == 2
    assert not decoder.oversize
    assert 7_900 < decoder.referred_bytes < 8_192
    decoder.decode(b"\xbe" * 3)
    assert decoder.oversize


def test_a_name_by_reference_is_counted_too() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x7f\x81\x1e" + b"n" * 3_968 + b"\x01v")
    decoder.decode(b"\x0f\x2f\x01v" * 3)
    assert decoder.oversize
