"""Where a head ends."""

from __future__ import annotations

import random

import pytest

from proxy.codec.h1_head import find_end


def find(buf: bytearray, pos: int, end: int) -> int:
    found = buf.find(b"\r\n\r\n", pos, end)
    return found + 4 if found >= 0 else -1


def test_a_walk_finds_what_find_finds() -> None:
    rng = random.Random(1)
    for _ in range(20_000):
        buf = bytearray(rng.choices(b"\r\r\r\n\n\nab", k=rng.randrange(40)))
        pos = rng.randrange(len(buf) + 1)
        end = rng.randrange(pos, len(buf) + 1)
        assert find_end(buf, pos, end) == find(buf, pos, end), (bytes(buf), pos, end)


@pytest.mark.parametrize("size", [*range(1_010, 1_040), 60_000])
def test_a_head_that_is_long(size: int) -> None:
    for last in (b"", b"\r", b"\n\r\n", b"\r\n\r"):
        buf = bytearray(b"x" * size + last + b"\r\n\r\nrest")
        assert find_end(buf, 0, len(buf)) == find(buf, 0, len(buf)) > 0
        assert find_end(buf, 3, size) == -1
