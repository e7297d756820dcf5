"""A bounded, seeded fuzz of the whole data path: no exception leaves `feed`, nothing hangs, all books come out even.

The corpus holds conversations as recorded (one line a piece: wire, bytes in hex) and what fuzzing once found. For more,
`GOSSAMER_FUZZ_RUNS=100000`; a find is named by its file and number, which are its seed.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.playbook.mutation import mutate
from tests.playbook.recording import Recording, play

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.txt"))
RUNS = int(os.environ.get("GOSSAMER_FUZZ_RUNS", "150"))


def read(path: Path) -> Recording:
    lines = (line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    return [(int(wire), bytes.fromhex("".join(rest))) for wire, *rest in lines]


def damage(recording: Recording, rng: random.Random) -> Recording:
    """Mutate some pieces; sometimes lose, repeat or move one."""
    damaged = list(recording)
    for _ in range(rng.randint(1, 5)):
        at = rng.randrange(len(damaged))
        wire, data = damaged[at]
        way = rng.randrange(8)
        if way == 0 and len(damaged) > 1:
            del damaged[at]
        elif way == 1:
            damaged.insert(rng.randrange(len(damaged) + 1), (wire, data))
        elif way == 2:
            damaged[at] = rng.randrange(3), data
        else:
            damaged[at] = wire, mutate(data, rng)
    return damaged


def test_there_is_a_corpus() -> None:
    assert len(CORPUS) >= 8


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_fuzz(path: Path) -> None:
    recording = read(path)
    play(recording)
    for run in range(RUNS):
        rng = random.Random(f"{path.stem} {run}")
        try:
            play(damage(recording, rng))
        except Exception as bug:
            raise AssertionError(f"{path.name} run {run}") from bug
