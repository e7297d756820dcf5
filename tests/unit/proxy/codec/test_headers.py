from __future__ import annotations

import hpack
import pytest

from proxy.codec.errors import CompressionFault
from proxy.codec.fields import Field, make_field
from proxy.codec.headers import (
    MEMO_BYTES,
    MEMO_ENTRY_BYTES,
    MEMO_FIELD_BYTES,
    REQUEST,
    RESPONSE,
    TRAILERS,
    HeaderBlock,
    HeaderReader,
    make_block,
)

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a.b:80")]
GRPC = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/echo.Echo/Get"),
    (b":authority", b"echo"),
    (b"content-type", b"application/grpc+proto"),
    (b"te", b"trailers"),
    (b"grpc-timeout", b"250m"),
    (b"x-request-id", b"1"),
]
OK = [(b":status", b"200")]


def make_fields(pairs: list[tuple[bytes, bytes]]) -> list[Field]:
    return [make_field(name, value) for name, value in pairs]


def read_block(position: int, *pairs: tuple[bytes, bytes]) -> HeaderBlock:
    return make_block(position, make_fields(list(pairs)))


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [pair for pair in GET if pair[0] != name]


def encode(pairs: list[tuple[bytes, bytes]], indexed: bool = False) -> bytes:
    """A block of literals, or one that changes the table."""
    block = b"".join(make_field(name, value).encoded for name, value in pairs)
    return block + b"\x40\x01i\x01v" if indexed else block


def test_a_grpc_request() -> None:
    block = read_block(REQUEST, *GRPC)
    assert block.malformed == ""
    assert not block.oversize
    assert (block.method, block.scheme, block.path, block.authority) == (b"POST", b"http", b"/echo.Echo/Get", b"echo")
    assert block.content_type == b"application/grpc+proto"
    assert block.grpc
    assert block.grpc_timeout_s == 0.25
    assert (block.status, block.grpc_status, block.content_length, block.pushback_s) == (0, -1, -1, -1.0)
    assert (block.decision, block.epoch) == (None, -1)
    assert block.size == sum(len(name) + len(value) + 32 for name, value in GRPC)
    assert hpack.Decoder().decode(block.encoded, raw=True) == GRPC
    assert [(field.name, field.value) for field in block.fields] == GRPC


def test_a_response() -> None:
    block = read_block(RESPONSE, *OK, (b"content-length", b"12"), (b"retry-after", b"3"), (b"te", b"Trailers"))
    assert (block.malformed, block.status, block.informational) == ("", 200, False)
    assert (block.content_length, block.pushback_s, block.grpc) == (12, 3.0, False)


def test_an_interim_response() -> None:
    block = read_block(RESPONSE, (b":status", b"103"), (b"link", b"</a.css>"))
    assert (block.malformed, block.status, block.informational) == ("", 103, True)


def test_grpc_trailers() -> None:
    block = read_block(TRAILERS, (b"grpc-status", b"14"), (b"grpc-retry-pushback-ms", b"1500"), (b"retry-after", b"9"))
    assert (block.malformed, block.grpc_status, block.pushback_s, block.status) == ("", 14, 1.5, 0)


def test_empty_trailers() -> None:
    assert read_block(TRAILERS).malformed == ""


@pytest.mark.parametrize(
    ("content_type", "grpc"),
    [
        (b"application/grpc", True),
        (b"application/grpc+json", True),
        (b"application/grpc;a=b", True),
        (b"application/grpc-web", False),
        (b"application/grpd+json", False),
        (b"application/grpd", False),
        (b"application/json", False),
        (b"application/grp", False),
        (b"", False),
    ],
)
def test_what_is_grpc(content_type: bytes, grpc: bool) -> None:
    assert read_block(REQUEST, *GET, (b"content-type", content_type)).grpc == grpc


def test_an_unreadable_timeout_is_none() -> None:
    block = read_block(REQUEST, *GET, (b"grpc-timeout", b"soon"))
    assert (block.malformed, block.grpc_timeout_s) == ("", -1.0)


@pytest.mark.parametrize("value", [b"", b"-1", b"soon", b"1e3", b"1234567890"])
def test_unreadable_numbers_are_absent(value: bytes) -> None:
    block = read_block(TRAILERS, (b"grpc-status", value), (b"grpc-retry-pushback-ms", value))
    assert (block.malformed, block.grpc_status, block.pushback_s) == ("", -1, -1.0)
    assert read_block(RESPONSE, *OK, (b"retry-after", value)).pushback_s == -1.0


def test_authority_falls_back_to_host() -> None:
    block = read_block(REQUEST, *without(b":authority"), (b"host", b"c"))
    assert (block.malformed, block.authority) == ("", b"c")


@pytest.mark.parametrize("host", [b"a.b:80", b"A.B:80", b"a.b", b"A.b"])
def test_a_host_that_means_the_same(host: bytes) -> None:
    assert read_block(REQUEST, *GET, (b"host", host)).malformed == ""


@pytest.mark.parametrize(
    "pairs",
    [
        [(b":method", b"CONNECT"), (b":authority", b"a:1")],
        [(b":method", b"OPTIONS"), (b":scheme", b"https"), (b":path", b"*"), (b":authority", b"a")],
        [*GET, (b"cookie", b"a=b"), (b"cookie", b"c=d")],
        [*GET, (b"te", b"trailers"), (b"te", b"trailers")],
        [(b":method", b"GET"), (b":scheme", b"custom+1"), (b":path", b""), (b":authority", b"u@a")],
        [(b":method", b"GET"), (b":scheme", b"HTTPS"), (b":path", b"/"), (b":authority", b"a:443"), (b"host", b"a")],
    ],
)
def test_good_requests(pairs: list[tuple[bytes, bytes]]) -> None:
    block = read_block(REQUEST, *pairs)
    assert block.malformed == ""
    assert hpack.Decoder().decode(block.encoded, raw=True) == pairs


@pytest.mark.parametrize(
    ("position", "pairs", "reason"),
    [
        (REQUEST, [], "missing"),
        (REQUEST, without(b":method"), "missing"),
        (REQUEST, without(b":scheme"), "missing"),
        (REQUEST, without(b":path"), "missing"),
        (REQUEST, [*GET, (b":method", b"GET")], "repeated"),
        (REQUEST, [*GET, (b":path", b"/")], "repeated"),
        (REQUEST, [*GET, (b":protocol", b"websocket")], "unknown"),
        (REQUEST, [*GET, (b":status", b"200")], "wrong place"),
        (REQUEST, [(b"a", b"b"), *GET], "after a regular"),
        (REQUEST, [*GET[:3], (b"te", b"trailers"), GET[3]], "after a regular"),
        (REQUEST, [*GET, (b"Upper", b"b")], "illegal character"),
        (REQUEST, [*GET, (b"a", b"b\r\nc: d")], "illegal character"),
        (REQUEST, [*GET, (b"te", b"trailers\0")], "illegal character"),
        (REQUEST, [*GET, (b"connection", b"close")], "connection-specific"),
        (REQUEST, [*GET, (b"transfer-encoding", b"chunked")], "connection-specific"),
        (REQUEST, [*GET, (b"te", b"gzip")], "te other"),
        (REQUEST, [*GET, (b"te", b"trailers, deflate")], "te other"),
        (REQUEST, [*GET, (b"te", b"gzip"), (b"te", b"trailers")], "te other"),
        (REQUEST, [*GET, (b"content-length", b"1"), (b"content-length", b"2")], "repeated content-length"),
        (REQUEST, [*GET, (b"content-length", b"1"), (b"content-length", b"1")], "repeated content-length"),
        (REQUEST, [*without(b":authority")], "neither :authority nor host"),
        (REQUEST, [*GET, (b"content-length", b"1, 1")], "no number"),
        (REQUEST, [*GET, (b"content-length", b"-1")], "no number"),
        (REQUEST, [*GET, (b"content-length", b"+1")], "no number"),
        (REQUEST, [*GET, (b"content-length", b"")], "no number"),
        (REQUEST, [*GET, (b"content-length", b"1" * 19)], "no number"),
        (REQUEST, [*GET, (b"host", b"other")], "contradicts"),
        (REQUEST, [*GET, (b"host", b"")], "contradicts"),
        (REQUEST, [*GET, (b"host", b"a.b:443")], "contradicts"),
        (REQUEST, [*GET, (b"host", b"a.b:80"), (b"host", b"a.b:80")], "repeated host"),
        (REQUEST, [*without(b":authority"), (b":authority", b"")], "empty :authority"),
        (REQUEST, [*without(b":authority"), (b":authority", b"u:p@a")], "user information"),
        (REQUEST, [*without(b":authority"), (b"host", b"u@a")], "user information"),
        (REQUEST, [*without(b":path"), (b":path", b"")], "illegal :path"),
        (REQUEST, [*without(b":path"), (b":path", b"*")], "illegal :path"),
        (REQUEST, [*without(b":path"), (b":path", b"a/b")], "illegal :path"),
        (REQUEST, [*without(b":path"), (b":path", b"http://a/")], "illegal :path"),
        (REQUEST, [*without(b":scheme"), (b":scheme", b"")], "illegal :scheme"),
        (REQUEST, [*without(b":scheme"), (b":scheme", b"1http")], "illegal :scheme"),
        (REQUEST, [*without(b":scheme"), (b":scheme", b"http://")], "illegal :scheme"),
        (REQUEST, [*without(b":method"), (b":method", b"CONNECT")], "CONNECT"),
        (REQUEST, [(b":method", b"CONNECT")], "CONNECT"),
        (REQUEST, [(b":method", b"CONNECT"), (b"host", b"a")], "CONNECT"),
        (RESPONSE, [], ":status"),
        (RESPONSE, [(b":status", b"")], ":status"),
        (RESPONSE, [(b":status", b"20")], ":status"),
        (RESPONSE, [(b":status", b"099")], ":status"),
        (RESPONSE, [(b":status", b"2000")], ":status"),
        (RESPONSE, [(b":status", b"2x0")], ":status"),
        (RESPONSE, [(b":status", b"101")], "101"),
        (RESPONSE, [*OK, *OK], "repeated"),
        (RESPONSE, [*OK, (b":path", b"/")], "wrong place"),
        (RESPONSE, [(b"a", b"b"), *OK], "after a regular"),
        (RESPONSE, [*OK, (b"upgrade", b"h2c")], "connection-specific"),
        (RESPONSE, [*OK, (b":other", b"a")], "unknown"),
        (TRAILERS, OK, "wrong place"),
        (TRAILERS, [(b"grpc-status", b"0"), (b":path", b"/")], "wrong place"),
        (TRAILERS, [(b"keep-alive", b"1")], "connection-specific"),
        (TRAILERS, [(b"grpc-message", b"a\nb")], "illegal character"),
    ],
)
def test_malformed_blocks(position: int, pairs: list[tuple[bytes, bytes]], reason: str) -> None:
    block = read_block(position, *pairs)
    assert reason in block.malformed
    assert block.encoded == b""


def test_an_oversize_block_is_not_called_malformed() -> None:
    block = make_block(REQUEST, make_fields(GET[:1]), True)
    assert (block.oversize, block.malformed, block.encoded, block.method) == (True, "", b"", b"GET")


@pytest.mark.parametrize("position", [-1, 3, 2**31 - 1])
def test_an_unknown_position_is_refused(position: int) -> None:
    with pytest.raises(ValueError, match="position"):
        make_block(position, [])
    with pytest.raises(ValueError, match="position"):
        HeaderReader().read(position, b"")


def test_the_same_bytes_are_the_same_block() -> None:
    reader = HeaderReader()
    block = reader.read(REQUEST, encode(GET))
    block.decision = "taken"
    assert reader.read(REQUEST, encode(GET)) is block
    assert reader.read(REQUEST, encode(GRPC)).decision is None


def test_the_memo_keeps_positions_apart() -> None:
    reader = HeaderReader()
    block = encode([(b"grpc-status", b"0")])
    assert reader.read(TRAILERS, block).malformed == ""
    assert "missing" in reader.read(REQUEST, block).malformed
    assert ":status" in reader.read(RESPONSE, block).malformed


@pytest.mark.parametrize(
    "change",
    [
        b"\x40\x01y\x01z",  # an insert
        b"\x20",  # a resize
        b"\x3f\xe1\x1f",  # a resize to what it is
        b"\x20\x3f\xe1\x1f",
        b"\x40\x01y\x7f\xe1\x1f" + b"z" * 4192,  # an entry that empties the table
    ],
)
def test_a_change_of_the_table_forgets_all(change: bytes) -> None:
    reader = HeaderReader()
    before = [reader.read(REQUEST, encode(GET)), reader.read(TRAILERS, b"")]
    reader.read(TRAILERS, change)
    assert reader.read(REQUEST, encode(GET)) is not before[0]
    assert reader.read(TRAILERS, b"") is not before[1]


def test_an_index_means_what_the_table_says_now() -> None:
    reader = HeaderReader()
    block = b"\xbe"
    for value in (b"a", b"b"):
        reader.read(TRAILERS, b"\x40\x01x\x01" + value)
        first = reader.read(TRAILERS, block)
        assert first.fields[0].value == value
        assert reader.read(TRAILERS, block) is first


@pytest.mark.parametrize("block", [encode([*GET, *GET]), b"\x82" * 101, encode(GET, indexed=True), b"\x20"])
def test_what_is_not_remembered(block: bytes) -> None:
    reader = HeaderReader()
    assert reader.read(REQUEST, block) is not reader.read(REQUEST, block)


def test_the_memo_is_bounded() -> None:
    def find_remembered(reader: HeaderReader, count: int) -> int:
        blocks = [encode([*GET, (b"x", b"%05d" % number)]) for number in range(count)]
        first = [reader.read(REQUEST, block) for block in blocks]
        return sum(reader.read(REQUEST, block) is one for block, one in reversed(list(zip(blocks, first, strict=True))))

    literals = 2  # :authority and x
    cost_bytes = 2 * len(encode([*GET, (b"x", b"00000")])) + literals * MEMO_FIELD_BYTES + MEMO_ENTRY_BYTES
    room = MEMO_BYTES // cost_bytes
    assert find_remembered(HeaderReader(), room) == room
    assert find_remembered(HeaderReader(), room + 1) == 1  # the one too many pushed all others out
    assert find_remembered(HeaderReader(memo_bytes=cost_bytes - 1), 1) == 0
    assert find_remembered(HeaderReader(memo_bytes=0), 1) == 0


def test_a_reader_has_the_limits_of_its_decoder() -> None:
    reader = HeaderReader(max_table_bytes=8192, max_list_bytes=200, max_fields=4)
    assert not reader.read(REQUEST, b"\x3f\xe1\x3f" + encode(GET)).oversize
    assert reader.read(REQUEST, encode([*GET, (b"x", b"")])).oversize
    assert reader.read(TRAILERS, encode([(b"x", b"v" * 168)])).oversize
    assert not reader.read(TRAILERS, encode([(b"x", b"v" * 167)])).oversize


def test_a_fault_of_compression_passes_through() -> None:
    with pytest.raises(CompressionFault):
        HeaderReader().read(REQUEST, b"\x80")
