from __future__ import annotations

import pytest
from hpack.table import HeaderTable

from proxy.codec import fields
from proxy.codec.fields import STATIC_NAMES, STATIC_TABLE, encode_field, encode_integer, make_field


def test_static_table_is_that_of_the_rfc() -> None:
    assert STATIC_TABLE == HeaderTable.STATIC_TABLE
    assert [STATIC_TABLE[index - 1][0] for index in STATIC_NAMES.values()] == list(STATIC_NAMES)
    assert STATIC_NAMES[b":method"] == 2  # the first of several


@pytest.mark.parametrize(
    ("value", "prefix_bits", "code"),
    [(10, 5, "0a"), (1337, 5, "1f9a0a"), (42, 8, "2a"), (30, 5, "1e"), (31, 5, "1f00"), (127, 7, "7f00")],
)
def test_integers(value: int, prefix_bits: int, code: str) -> None:
    assert encode_integer(value, prefix_bits, 0).hex() == code


@pytest.mark.parametrize(
    ("name", "value", "never_indexed", "code"),
    [
        (b":method", b"GET", False, b"\x82"),
        (b":status", b"200", False, b"\x88"),
        (b":method", b"GET", True, b"\x12\x03GET"),  # its Huffman form has three bytes too
        (b":status", b"302", False, bytes.fromhex("08826402")),
        (b"te", b"", False, b"\x00\x02te\x00"),
        (b"content-type", b"\x01", False, b"\x0f\x10\x01\x01"),
        (b"x", b"\x01", True, b"\x10\x01x\x01\x01"),
    ],
)
def test_encode_field(name: bytes, value: bytes, never_indexed: bool, code: bytes) -> None:
    assert encode_field(name, value, never_indexed) == code


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (b":method", fields.METHOD),
        (b":protocol", fields.OTHER_PSEUDO),
        (b"host", fields.HOST),
        (b"keep-alive", fields.CONNECTION_SPECIFIC),
        (b"x-request-id", fields.ORDINARY),
        (b"x!#$%&'*+-.^_`|~09", fields.ORDINARY),
    ],
)
def test_kinds(name: bytes, kind: int) -> None:
    field = make_field(name, b"value")
    assert field.kind == kind
    assert not field.malformed
    assert (field.name, field.value, field.size) == (name, b"value", len(name) + 5 + 32)


@pytest.mark.parametrize(
    "name", [b"", b":", b"::path", b"a:b", b"Name", b"a b", b"a\0", b"a\x7f", b"a\xe9", b"a(b", b"a/b", b"x\n", b"naMe"]
)
def test_bad_names_are_malformed(name: bytes) -> None:
    assert make_field(name, b"value").malformed


@pytest.mark.parametrize(
    "value", [b" a", b"a ", b"\ta", b"a\t", b" ", b"a\0b", b"a\rb", b"a\nb", b"\n", b"\0", b"\x01", b"a\x1fb", b"\x7f"]
)
@pytest.mark.parametrize("name", [b"x", b":path", b"te"])
def test_bad_values_are_malformed(name: bytes, value: bytes) -> None:
    assert make_field(name, value).malformed


@pytest.mark.parametrize("value", [b"", b"a", b"a b", b"a\tb", b"\xff", b"\xe9 \xe9"])
def test_good_values_are_not(value: bytes) -> None:
    assert not make_field(b"x", value).malformed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b":path", b"/a b"),
        (b":path", b"/\x01"),
        (b":authority", b"a\x7fb"),
        (b"host", b"a b"),
        (b":scheme", b"ht tp"),
        (b":method", b""),
        (b":method", b"G\xe9T"),
        (b":method", b"A B"),
        (b":method", b"A/B"),
    ],
)
def test_parts_of_a_request_line_are_stricter(name: bytes, value: bytes) -> None:
    assert make_field(name, value).malformed


def test_a_path_may_hold_bytes_above_ascii() -> None:
    assert not make_field(b":path", "/é".encode()).malformed
