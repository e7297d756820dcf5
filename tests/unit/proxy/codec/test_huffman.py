from __future__ import annotations

from collections.abc import Callable

import pytest
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from proxy.codec.errors import CompressionFault
from proxy.codec.huffman import assign_codes, decode_by_byte, decode_by_nibble, decode_huffman, encode_huffman

Decode = Callable[[bytes, int, int], bytes]

EVERY_BYTE = bytes(range(256))
DECODERS = [decode_huffman, decode_by_byte, decode_by_nibble]


def test_codes_are_those_of_the_rfc() -> None:
    assert assign_codes() == list(zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"", ""),
        (b"www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"),
        (b"no-cache", "a8eb10649cbf"),
        (b"302", "6402"),
        (b"private", "aec3771a4b"),
        (b"Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"),
        (b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1", None),
        (EVERY_BYTE, None),
    ],
)
@pytest.mark.parametrize("decode", DECODERS)
def test_round_trip(decode: Decode, text: bytes, code: str | None) -> None:
    packed = encode_huffman(text)
    assert code is None or packed.hex() == code
    assert decode(b"ab" + packed + b"cd", 2, 2 + len(packed)) == text


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ff", "padding"),  # eight ones
        ("1fff", "padding"),  # a symbol and eleven ones
        ("18", "padding"),  # 'a' and zeros
        ("1b", "padding"),  # 'a' and 011
        ("fffffff0", "padding"),  # a symbol of 30 bits and zeros
        ("ffffff", "padding"),  # the beginning of a symbol
        ("ffffffff", "EOS"),
        ("1fffffffff", "EOS"),
        ("ffffffffffffffff", "EOS"),
        ("fffffffffc1f", "EOS"),  # EOS in the middle
    ],
)
@pytest.mark.parametrize("decode", DECODERS)
def test_bad_strings_are_refused(decode: Decode, code: str, reason: str) -> None:
    text = bytes.fromhex(code)
    for _ in range(2):  # the steps that plain Python keeps do not change the answer
        with pytest.raises(CompressionFault, match=reason):
            decode(text, 0, len(text))


@pytest.mark.parametrize(("at", "end"), [(-1, 2), (2, 1), (0, 4), (3, 9)])
def test_nothing_is_read_outside_of_the_block(at: int, end: int) -> None:
    with pytest.raises(CompressionFault, match="outside"):
        decode_huffman(b"abc", at, end)


@pytest.mark.parametrize("decode", DECODERS)
@pytest.mark.parametrize("size", [8191, 8192, 8193, 40_000])
def test_long_strings_outgrow_the_shared_buffer(decode: Decode, size: int) -> None:
    packed = encode_huffman(b"0" * (size * 8 // 5))
    assert decode(packed, 0, len(packed)) == b"0" * (size * 8 // 5)
