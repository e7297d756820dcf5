"""What a header block costs: a miss (every block new to the memo), a hit, and the decoder alone.

`pytest benchmarks/micro`; with `GOSSAMER_PURE=1` the same in plain Python.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import hpack
from pytest_benchmark.fixture import BenchmarkFixture

from proxy.codec.headers import REQUEST, HeaderReader
from proxy.codec.hpack import Decoder

BLOCKS = 300


def make_request(rng: random.Random) -> list[tuple[str, str]]:
    """The headers of a traced gRPC call with a deadline; two of the eleven are new each time."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/echo.Echo/Get"),
        (":authority", "echo.default.svc:8080"),
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.64.0"),
        ("te", "trailers"),
        ("grpc-timeout", f"{rng.randrange(900_000, 1_000_000)}u"),
        ("traceparent", f"00-{rng.getrandbits(128):032x}-{rng.getrandbits(64):016x}-01"),
        ("x-request-class", "interactive"),
        ("grpc-accept-encoding", "gzip"),
    ]


def make_blocks() -> list[bytes]:
    rng = random.Random(1)
    encoder = hpack.Encoder()
    return [encoder.encode(make_request(rng)) for _ in range(BLOCKS)]


def read_all(read: Callable[[int, bytes], object], blocks: list[bytes]) -> None:
    for block in blocks:
        read(REQUEST, block)


def test_miss(benchmark: BenchmarkFixture) -> None:
    """Decode and read 300 blocks, none of which came before; divide by 300."""
    blocks = make_blocks()
    benchmark.pedantic(read_all, setup=lambda: ((HeaderReader().read, blocks), {}), rounds=200)
    assert HeaderReader().read(REQUEST, blocks[0]).grpc_timeout_s > 0.9


def test_decode(benchmark: BenchmarkFixture) -> None:
    """The decoder without the reading for a position; divide by 300."""
    blocks = make_blocks()

    def decode_all(decode: Callable[[bytes], object]) -> None:
        for block in blocks:
            decode(block)

    benchmark.pedantic(decode_all, setup=lambda: ((Decoder().decode,), {}), rounds=200)
    assert len(Decoder().decode(blocks[0])) == 11


def test_library(benchmark: BenchmarkFixture) -> None:
    """The same with the `hpack` library: decode only; divide by 300."""
    blocks = make_blocks()

    def decode_all(decoder: hpack.Decoder) -> None:
        for block in blocks:
            decoder.decode(block, raw=True)

    benchmark.pedantic(decode_all, setup=lambda: ((hpack.Decoder(),), {}), rounds=10)
    assert len(hpack.Decoder().decode(blocks[0])) == 11


def test_hit(benchmark: BenchmarkFixture) -> None:
    """The same bytes 300 times, cut anew each time so that no hash is kept; divide by 300."""
    encoder = hpack.Encoder()
    headers = make_request(random.Random(1))
    reader = HeaderReader()
    reader.read(REQUEST, encoder.encode(headers))
    block = encoder.encode(headers)
    known = reader.read(REQUEST, block)
    blocks = [bytes(bytearray(block)) for _ in range(BLOCKS)]
    benchmark.pedantic(
        read_all, setup=lambda: ((reader.read, [bytes(bytearray(block)) for block in blocks]), {}), rounds=200
    )
    assert reader.read(REQUEST, blocks[0]) is known
