from __future__ import annotations

import random

import hpack

from proxy.codec.encoder import Encoder, encode_indexed
from proxy.codec.fields import Field, make_field
from proxy.codec.hpack import Decoder


def make_repeated(name: bytes, value: bytes) -> Field:
    """As if it had come by reference."""
    field = make_field(name, value)
    field.repeated = True
    return field


def decode(decoder: hpack.Decoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


def test_a_field_is_sent_once_and_then_by_its_index() -> None:
    encoder, oracle = Encoder(4096), hpack.Decoder()
    fields = [make_repeated(b"authorization", b"t" * 500), make_field(b"x", b"y")]
    first, second = encoder.encode(fields), encoder.encode(fields)
    expected = [(field.name, field.value) for field in fields]
    assert decode(oracle, first) == expected
    assert decode(oracle, second) == expected
    assert len(second) < 10


def test_what_did_not_come_by_reference_is_not_kept() -> None:
    encoder = Encoder(4096)
    fields = [make_field(b"traceparent", b"t" * 60)]
    assert encoder.encode(fields)[3:] == encoder.encode(fields) == fields[0].encoded


def test_a_field_above_the_table_stays_a_literal() -> None:
    encoder, oracle = Encoder(100), hpack.Decoder()
    long, short = make_repeated(b"long", b"l" * 200), make_repeated(b"short", b"s" * 60)
    for _ in range(3):
        assert decode(oracle, encoder.encode([short, long])) == [(b"short", b"s" * 60), (b"long", b"l" * 200)]


def test_names_of_the_static_table_and_others_are_kept() -> None:
    for name in (b"user-agent", b"content-type", b"x-own-name", b":path"):
        field = make_repeated(name, b"/value")
        assert decode(hpack.Decoder(), encode_indexed(field)) == [(name, b"/value")]


def test_any_sequence_keeps_two_oracles_in_step() -> None:
    rng = random.Random(4)
    for capacity in (0, 64, 300, 1_000, 4_096):
        encoder, oracle, own = Encoder(capacity), hpack.Decoder(), Decoder()
        known = [make_repeated(b"n%d" % (at % 5), rng.randbytes(20).hex().encode() * (at % 9 + 1)) for at in range(25)]
        for _ in range(300):
            fields = rng.choices(known, k=rng.randrange(6))
            block = encoder.encode(fields)
            expected = [(field.name, field.value) for field in fields]
            assert decode(oracle, block) == expected
            assert [(field.name, field.value) for field in own.decode(block)] == expected
            assert own.table_bytes <= capacity
