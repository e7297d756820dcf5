"""Detection, whatever comes and however it is cut: one verdict, bounded, and never taken back."""

from __future__ import annotations

import random
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.codec.detect import HTTP1, HTTP2, MAX_BYTES, MORE, OPAQUE, TLS, detect
from tests.unit.proxy.codec.hellos import alpn, body, extension, handshake, records, server_name

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TOKENS = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=32)
TARGETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
LINES = st.builds(
    lambda method, target, digit: f"{method} {target} HTTP/1.{digit}\r\n".encode(), TOKENS, TARGETS, st.integers(0, 9)
)
HELLOS = st.builds(
    lambda name, protocols, padding, sizes: records(
        handshake(body(server_name(name.encode()), alpn(*map(str.encode, protocols)), extension(21, bytes(padding)))),
        *sizes,
    ),
    st.text(string.ascii_lowercase + ".-", min_size=1, max_size=200),
    st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=9), max_size=4),
    st.integers(0, 6_000),
    st.lists(st.integers(1, 300), max_size=40),
)
TAILS = st.binary(max_size=60)
WORDS = st.one_of(LINES, HELLOS, st.just(PREFACE), st.binary(max_size=300))


def mutate(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        if damaged:
            damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 3, 13, 22, 32, 72, 255, rng.randrange(256)))
    return bytes(damaged)


def check(data: bytes) -> int:
    """Walk as a peeking proxy does, and see that every longer look agrees. Returns the verdict on all."""
    final = detect(data)
    size = 0
    while (verdict := detect(data[:size])).kind == MORE:
        assert size < verdict.needed <= MAX_BYTES, "a proxy would wait for what it never looks at"
        if verdict.needed > len(data):
            assert final.kind == MORE
            return MORE
        size = verdict.needed
    assert verdict == final
    return final.kind


@settings(deadline=None)
@given(WORDS, TAILS, st.integers(0, 2**32), st.booleans())
@example(PREFACE, b"", 0, False)
def test_every_look_agrees(data: bytes, tail: bytes, seed: int, damaged: bool) -> None:
    data += tail
    if damaged:
        data = mutate(data, random.Random(seed))
    kind = check(data)
    rng = random.Random(seed)
    for _ in range(20):
        size = rng.randint(0, len(data))
        verdict = detect(data[:size])
        assert verdict.kind in (MORE, kind)
        if verdict.kind == MORE and size < verdict.needed <= len(data):
            # What it said it needed is never too much: in between there is nothing to tell.
            assert detect(data[: rng.randint(size, verdict.needed - 1)]).kind == MORE


@settings(deadline=None)
@given(LINES, TAILS)
def test_every_request_line_is_http1(line: bytes, tail: bytes) -> None:
    assert check(line + tail) == HTTP1


@settings(deadline=None)
@given(HELLOS, TAILS)
def test_every_hello_is_tls(hello: bytes, tail: bytes) -> None:
    assert check(hello + tail) == TLS


@given(TAILS)
def test_the_preface_is_http2(tail: bytes) -> None:
    assert check(PREFACE + tail) == HTTP2


@pytest.mark.parametrize("first", [*range(256)])
def test_every_first_byte(first: int) -> None:
    """Only what can still become something waits."""
    kind = detect(bytes([first])).kind
    is_token = chr(first) in string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
    assert kind == (MORE if is_token or first == 22 else OPAQUE)
