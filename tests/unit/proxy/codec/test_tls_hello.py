"""ClientHellos as clients send them, and what only looks like one (RFC 8446, RFC 6066, RFC 7301)."""

from __future__ import annotations

import pytest

from proxy.codec.tls_hello import MAX_BYTES, MAX_HELLO_BYTES, Hello, Malformed, parse_hello, read_hello
from tests.unit.proxy.codec.hellos import alpn, body, extension, handshake, make_hello, records, server_name, vector


def test_a_real_client() -> None:
    assert read_hello(make_hello()) == Hello("shop.example", ("h2", "http/1.1"))
    assert read_hello(make_hello(None, ())) == Hello("", ())


def test_what_follows_is_not_looked_at() -> None:
    assert read_hello(make_hello() + b"GET / HTTP/1.1\r\n") == Hello("shop.example", ("h2", "http/1.1"))


def test_names_are_in_lower_case() -> None:
    assert parse_hello(body(server_name(b"Shop.EXAMPLE"))).server_name == "shop.example"


def test_without_extensions() -> None:
    assert parse_hello(body()) == Hello()
    assert parse_hello(body(version=b"\3\1", session=bytes(32))) == Hello()


@pytest.mark.parametrize("sizes", [(1,), (3,), (4,), (5, 1, 1), (1,) * 31])
def test_a_hello_over_several_records(sizes: tuple[int, ...]) -> None:
    message = handshake(body(server_name(b"a.b"), alpn(b"h2")))
    assert read_hello(records(message, *sizes)) == Hello("a.b", ("h2",))


def test_more_records_than_anybody_needs_end_the_search() -> None:
    message = handshake(body(server_name(b"a.b")))
    assert read_hello(records(message, *(1,) * 32)) == Hello()


def test_the_need_is_exact() -> None:
    """Each answer names the next number of bytes at which there may be more to say, so that nobody asks too often."""
    data = make_hello()
    needs = []
    size = 0
    while isinstance(found := read_hello(data[:size]), int):
        needs.append(found)
        assert size < found <= len(data)
        size = found
    assert needs == [1, 2, 3, 4, 5, 6, 9, len(data)]
    assert found == Hello("shop.example", ("h2", "http/1.1"))


def test_a_hello_that_is_too_large_is_still_tls() -> None:
    message = handshake(body(extension(21, bytes(MAX_HELLO_BYTES))))
    assert read_hello(records(message, 16_000)[:9]) == Hello()
    largest = handshake(body(extension(21, bytes(MAX_HELLO_BYTES - len(body(extension(21, b""))) - 4))))
    assert len(largest) == MAX_HELLO_BYTES
    whole = records(largest, *(500,) * 31)
    assert len(whole) == MAX_BYTES
    assert read_hello(whole) == Hello()
    assert read_hello(whole[:-1]) == MAX_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"\x17\3\1\0\5",  # application data
        b"\x16\2\1",
        b"\x16\3\5",
        b"\x16\3\1\0\0",  # an empty record
        b"\x16\3\1\x40\1",  # longer than a record may be
        b"\x16\3\1\0\5\2",  # ServerHello
    ],
)
def test_what_is_no_hello(data: bytes) -> None:
    assert read_hello(data) is None
    assert read_hello(data + bytes(100)) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        body()[:-1],
        body() + b"\0",
        body(version=b"\2\0"),
        body(suites=b""),
        body(server_name(b"")),
        body(server_name(b"a b\n")),
        body(server_name("é".encode())),
        body(server_name(b"a"), server_name(b"b")),
        body(extension(0, b"")),
        body(extension(0, vector(b"\1" + vector(b"a", 2), 2))),
        body(extension(0, vector(b"\0" + vector(b"a", 2) + b"\0" + vector(b"b", 2), 2))),
        body(alpn(b"")),
        body(extension(16, vector(b"\5h2", 2))),
        body(alpn(b"h2")) + b"x",
        body(b"\0\0\0"),
    ],
)
def test_a_malformed_hello(content: bytes) -> None:
    with pytest.raises(Malformed):
        parse_hello(content)
    assert read_hello(records(handshake(content))) is None


def test_a_record_cannot_be_swapped_for_another_kind() -> None:
    message = handshake(body(server_name(b"a.b")))
    assert read_hello(records(message[:20]) + b"\x17\3\1\0\1x") is None
