"""Small damage to bytes on the wire, as fuzzers do it; seeded, so that every find can be had again."""

from __future__ import annotations

import random

INTERESTING = (
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",  # SETTINGS
    b"\x00\x00\x00\x01\x05\x00\x00\x00\x03",  # HEADERS without a block
    b"\x00\x00\x00\x00\x01\x00\x00\x00\x01",  # DATA that ends
    b"\x00\x00\x00\x09\x04\x00\x00\x00\x01",  # CONTINUATION
    b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",  # RST_STREAM
    b"\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x07",
    b"\x00\x00\x04\x08\x00\x00\x00\x00\x01\x7f\xff\xff\xff",  # WINDOW_UPDATE
    b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00",  # GOAWAY
    b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00",  # windows of 0
    b"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00",  # no streams
    b"\x00\x00\x05\x02\x00\x00\x00\x00\x05\x00\x00\x00\x05\x00",  # PRIORITY on itself
    b"\x00\x00\x05\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02\x88",  # PUSH_PROMISE
    b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One mutation."""
    changed = bytearray(data)
    at = rng.randrange(len(changed) + 1)
    way = rng.randrange(6)
    if way == 0 and changed:
        changed[at % len(changed)] ^= 1 << rng.randrange(8)
    elif way == 1 and changed:
        changed[at % len(changed)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    elif way == 2:
        del changed[at : at + rng.randint(1, 9)]
    elif way == 3:
        changed[at:at] = rng.choice(INTERESTING)
    elif way == 4:
        changed[at:at] = rng.randbytes(rng.randint(1, 9))
    else:
        changed[at:at] = changed[rng.randrange(len(changed) + 1) :][: rng.randint(1, 40)]
    return bytes(changed)
