"""The share of `make fuzz` that every run of the tests has: each parser, both forms where there are two."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.forms import ROOT, find_stale, find_uncompiled
from tests.fuzz.parsers import PARSERS, read_seeds
from tests.fuzz.worker import run

INPUTS = 20_000


@pytest.mark.parametrize("name", PARSERS)
def test_seeds_are_parsed(name: str) -> None:
    seeds = read_seeds(name)
    assert len(seeds) >= 8
    outcomes = {run(name, seed) for seed in seeds}
    assert not [outcome for outcome in outcomes if outcome.startswith("BUG ")]
    assert len(outcomes) > len(seeds) // 2


def test_a_bounded_fuzz_of_all_parsers() -> None:
    forms = ["--source-only"] if find_stale() or find_uncompiled() else []
    argv = [sys.executable, "-m", "tests.fuzz", "--inputs", str(INPUTS), *forms]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "no find" in result.stdout
