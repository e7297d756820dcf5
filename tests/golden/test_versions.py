"""Two replicas of the control plane say the same, or every client that moves from one to the other gets all anew."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

PROCESSES = 20


def run(seed: int) -> str:
    """In a process whose sets and dictionaries of strings have an order of their own."""
    environment = os.environ | {"PYTHONHASHSEED": str(seed)}
    argv = [sys.executable, "-m", "tests.golden.versions", str(seed)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout


def test_versions_are_equal_in_all_processes() -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        seeds = random.sample(range(2**32), PROCESSES)
        said = dict(zip(seeds, map(json.loads, pool.map(run, seeds)), strict=True))
    first = said[seeds[0]]
    assert len(first) > 500
    for seed, versions in said.items():
        assert versions == first, f"PYTHONHASHSEED={seed} against {seeds[0]}"
