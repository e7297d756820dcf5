"""One form of the parsers, compiled or source, as a process that fuzzes what it is told.

A line on stdin, `PARSER BATCH COUNT`, asks for one batch; the answer is a digest of all outcomes. The inputs follow
from the parser's seeds and the batch's number, so both forms make the same ones and no input has to be sent.
`PARSER BATCH COUNT NUMBER` tells of one input: its bytes in hex, then the outcome.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
from collections.abc import Iterator

if os.environ.get("GOSSAMER_PURE") == "1":
    from tests.forms import use_source

    use_source()

from tests.fuzz.parsers import PARSERS, read_seeds
from tests.playbook.mutation import mutate


def make_inputs(parser: str, batch: int, count: int) -> Iterator[bytes]:
    """Mutations of mutations: each batch follows a few seeds some way down."""
    rng = random.Random(f"{parser} {batch}")
    seeds = read_seeds(parser)
    pool = rng.sample(seeds, min(4, len(seeds)))
    for _ in range(count):
        data = mutate(rng.choice(pool), rng)
        if rng.random() < 0.2:
            other = rng.choice(pool)
            data = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]
        if rng.random() < 0.05 and len(data) < 4_096:
            pool[rng.randrange(len(pool))] = data
        yield data


def run(parser: str, data: bytes) -> str:
    """The outcome as text; an exception that is no fault of a peer is one too, and differs from every other."""
    try:
        return repr(PARSERS[parser](data))
    except Exception as bug:
        return f"BUG {type(bug).__name__}: {bug}"


def digest(parser: str, batch: int, count: int) -> str:
    """A digest of all outcomes, or the number of the first input that finds a bug."""
    total = hashlib.blake2b(digest_size=16)
    for number, data in enumerate(make_inputs(parser, batch, count)):
        outcome = run(parser, data)
        if outcome.startswith("BUG "):
            return f"BUG {number}"
        total.update(outcome.encode())
    return total.hexdigest()


def main() -> None:
    while line := sys.stdin.readline():
        parser, batch, count, *number = line.split()
        if number:
            data = list(make_inputs(parser, int(batch), int(count)))[int(number[0])]
            print(data.hex() or "-", run(parser, data), flush=True)
        else:
            print(digest(parser, int(batch), int(count)), flush=True)


if __name__ == "__main__":
    main()
