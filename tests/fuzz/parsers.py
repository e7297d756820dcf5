"""The parsers that are fuzzed, one entry each in PARSERS: bytes in, something that can be compared out.

A parser's outcome is everything that it says of the input, as plain values: the compiled and the uncompiled form must
agree on it to the last byte. A fault of the peer is an outcome; any other exception is a find. To add a parser: a
function, a line in PARSERS, and `seeds/NAME.txt` with inputs that reach its corners, one a line, in hex.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxy.codec.constants import PREFACE
from proxy.codec.errors import ConnectionFault
from proxy.codec.fields import encode_string
from proxy.codec.headers import HeaderBlock, HeaderReader
from proxy.codec.huffman import decode_huffman, encode_huffman
from proxy.codec.values import read_delay, read_number, read_timeout
from tests.fuzz.detect_parser import parse_first_bytes
from tests.fuzz.h1_parsers import parse_h1_requests, parse_h1_responses
from tests.unit.proxy.codec.roles import NotedClient, NotedServer

Outcome = Any
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"
NOW_S = 100.0


def parse_huffman(data: bytes) -> Outcome:
    """What decodes must come out of the encoder as it went in."""
    try:
        text = decode_huffman(data, 0, len(data))
    except ConnectionFault as fault:
        return fault.reason
    packed = encode_huffman(text)
    assert decode_huffman(packed, 0, len(packed)) == text
    return text, packed, encode_string(text)


def parse_hpack(data: bytes) -> Outcome:
    """Three blocks on one connection, in all positions, so that tables and memos matter; two bytes part them."""
    first, second = (data[0], data[0] + data[1]) if len(data) > 1 else (0, 0)
    blocks = data[2:]
    outcome: list[Outcome] = []
    reader, unmemoised = HeaderReader(), HeaderReader(memo_bytes=0)
    for position, block in enumerate((blocks[:first], blocks[first:second], blocks[second:])):
        for _again in range(2):
            try:
                read = describe(reader.read(position, block))
            except ConnectionFault as fault:
                return outcome, fault.code, fault.reason
            assert read == describe(unmemoised.read(position, block)), "the memo changed the meaning"
            outcome.append(read)
    return outcome


def describe(block: HeaderBlock) -> Outcome:
    fields = [(field.name, field.value, field.kind, field.size, field.encoded) for field in block.fields]
    numbers = block.status, block.content_length, block.grpc_status, block.grpc_timeout_s, block.pushback_s
    texts = block.method, block.scheme, block.authority, block.path, block.content_type, block.malformed, block.encoded
    return fields, numbers, texts, block.size, block.oversize, block.bulky, block.grpc, block.informational


def parse_requests(data: bytes) -> Outcome:
    """Frames of a client, in one piece and in two: the events and the output must be the same."""
    whole = talk(NotedServer(), PREFACE + SETTINGS, data, len(data))
    assert whole == talk(NotedServer(), PREFACE + SETTINGS, data, len(data) // 2), "the chunking changed the meaning"
    return whole


def parse_responses(data: bytes) -> Outcome:
    """Frames of an endpoint on which two requests were opened."""
    outcomes = []
    for cut in (len(data), len(data) // 2):
        conn = NotedClient()
        conn.start()
        for _ in range(2):
            stream = conn.open(NOW_S)
            conn.send_headers(stream, b"\x82\x86\x84", False)
        outcomes.append(talk(conn, SETTINGS, data, cut))
    assert outcomes[0] == outcomes[1], "the chunking changed the meaning"
    return outcomes[0]


def talk(conn: Any, opening: bytes, data: bytes, cut: int) -> Outcome:
    tail = b""
    for piece in (opening, data[:cut], data[cut:]):
        buffer = bytearray(tail + piece)
        taken = conn.feed(buffer, 0, len(buffer), NOW_S)
        tail = bytes(buffer[taken:])
    return conn.events, conn.take(), conn.closed, conn.fault, conn.send_window, conn.recv_window, conn.open_streams


def parse_values(data: bytes) -> Outcome:
    return read_number(data, len(data), 18), read_delay(data, 0.001), read_timeout(data)


PARSERS: dict[str, Callable[[bytes], Outcome]] = {
    "huffman": parse_huffman,
    "hpack": parse_hpack,
    "requests": parse_requests,
    "responses": parse_responses,
    "values": parse_values,
    "h1_requests": parse_h1_requests,
    "h1_responses": parse_h1_responses,
    "detect": parse_first_bytes,
}


def read_seeds(name: str) -> list[bytes]:
    path = Path(__file__).parent / "seeds" / f"{name}.txt"
    return [bytes.fromhex(line) for line in path.read_text().split()]
