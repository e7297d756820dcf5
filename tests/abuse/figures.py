"""The figures of docs/limits.md, by one command: `python -m tests.abuse.figures FILE [--runs 3] [pytest's options]`.

Runs the suite so many times, keeps each run's figures in FILE, prints a table, and fails where an attack was not
contained (issue 5): honest clients' 99th percentile above three times that without an attack. Calls of an attack are
put together over the runs, since one run makes 40 of most: their 99th percentile alone would be the slowest of 40. What
they are compared with are all calls of the same kind of scene before its first attack. A pause of the machine's own
(`pauses.py`), and as long again after it, is no part of the time that a call took. It takes root, four minutes for each
run, and a machine with nothing else to do. All other arguments are pytest's, for instance `tests/abuse/test_raw.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.abuse.beating import FOLDER
from tests.abuse.pauses import Pause, pauses_noted
from tests.e2e.processes import ROOT

MAX_RATIO = 3.0
BEGIN, END = itemgetter(0), itemgetter(1)
BEATING = shlex.join([sys.executable, "-m", "tests.abuse.beating"])
HEADINGS = (
    "attack",
    "calls",
    "with pauses",
    "p99, ms",
    "ratio",
    "longest turn, CPU ms",
    "a core",
    "memory, KiB",
)


@dataclass(slots=True)
class Attack:
    """What all runs have shown of one."""

    kind: str
    took_ms: list[float] = field(default_factory=list)
    raw_ms: list[float] = field(default_factory=list)
    turn_ms: float = 0.0
    cpu: float = 0.0
    grown_kib: int = 0

    def add(self, told: dict[str, Any], pauses: Sequence[Pause]) -> None:
        calls = told.get("calls", ())
        self.raw_ms += [took_ms for _, took_ms in calls]
        self.took_ms += take_off(calls, pauses)
        self.turn_ms = max(self.turn_ms, told.get("turn_ms", 0.0))
        self.cpu = max(self.cpu, told.get("cpu", 0.0))
        self.grown_kib = max(self.grown_kib, told["grown_kib"])


def percentile_99(took_ms: Sequence[float]) -> float:
    return sorted(took_ms)[int(len(took_ms) * 0.99)]


def find_spans(pauses: Iterable[Pause]) -> list[Pause]:
    """Each with as long again after it, in which is done what has piled up; those that overlap are one."""
    spans: list[Pause] = []
    for begin_s, end_s in sorted((begin_s, 2 * end_s - begin_s) for begin_s, end_s in pauses):
        if spans and begin_s <= spans[-1][1]:
            begin_s, last_s = spans.pop()
            end_s = max(end_s, last_s)
        spans.append((begin_s, end_s))
    return spans


def take_off(calls: Iterable[tuple[float, float]], spans: Sequence[Pause]) -> list[float]:
    """How many ms calls took, each told as when (s) and how long (ms), without what of it was in one of the spans."""
    took = []
    for begin_s, took_ms in calls:
        end_s = begin_s + took_ms / 1000
        met = bisect_left(spans, begin_s, key=END), bisect_left(spans, end_s, key=BEGIN)
        for span_begin_s, span_end_s in spans[slice(*met)]:
            took_ms -= (min(end_s, span_end_s) - max(begin_s, span_begin_s)) * 1000
        took.append(took_ms)
    return took


def read(lines: Sequence[str]) -> tuple[dict[str, Attack], dict[str, float]]:
    """The attacks by name, and the 99th percentile without any by the kind of scene."""
    attacks: dict[str, Attack] = {}
    idle: dict[str, list[float]] = defaultdict(list)
    all_told = [json.loads(line) for line in lines]
    pauses = find_spans(pause for told in all_told for pause in told.get("pauses", ()))
    for told in all_told:
        if "idle" in told:
            idle[told["idle"]] += take_off(told["calls"], pauses)
        elif "attack" in told:
            attacks.setdefault(told["attack"], Attack(told.get("kind", ""))).add(told, pauses)
    return attacks, {kind: percentile_99(took_ms) for kind, took_ms in idle.items()}


def judge(attacks: dict[str, Attack], idle_ms: dict[str, float]) -> list[str]:
    """Prints the table; the names of those that were not contained."""
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|")
    above = []
    for name, attack in attacks.items():
        cells: list[object] = [name, len(attack.took_ms), "", "", ""]
        cells += [attack.turn_ms, f"{attack.cpu:.0%}", attack.grown_kib]
        if attack.took_ms:
            p99_ms = percentile_99(attack.took_ms)
            ratio = p99_ms / idle_ms[attack.kind]
            cells[2:5] = (f"{figure:.1f}" for figure in (percentile_99(attack.raw_ms), p99_ms, ratio))
            above += [name] * (ratio > MAX_RATIO)
        print("| " + " | ".join(map(str, cells)) + " |")
    for kind, p99_ms in idle_ms.items():
        print(f"without an attack, {kind}: {p99_ms:.1f} ms")
    return above


def measure(path: Path, options: Sequence[str]) -> int:
    """One run of the suite; pytest's exit code. RuntimeError where the pauses cannot be noted."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)  # the sidecar runs as another user
        given = {"GOSSAMER_ABUSE_REPORT": str(path.absolute()), "GOSSAMER_E2E_PROXY": BEATING, FOLDER: folder}
        suite = [sys.executable, "-m", "pytest", "-q", *(options or ("tests/abuse",))]
        with pauses_noted() as pauses:
            code = subprocess.run(suite, cwd=ROOT, env=os.environ | given, check=False).returncode
    with path.open("a") as file:
        file.write(json.dumps({"pauses": pauses}) + "\n")
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where each run's figures are kept; it must not be there yet")
    parser.add_argument("--runs", type=int, default=3, help="how often the suite is run (default: %(default)s)")
    parser.add_argument("--judge", action="store_true", help="run nothing: print and judge what FILE has")
    arguments, options = parser.parse_known_args()
    if arguments.file.exists() != arguments.judge:
        parser.error(f"{arguments.file} is {'there already: name another' if not arguments.judge else 'not there'}")
    if arguments.runs < 1:
        parser.error("--runs must be at least 1")
    codes = [] if arguments.judge else [measure(arguments.file, options) for _ in range(arguments.runs)]
    above = judge(*read(arguments.file.read_text().splitlines()))
    for name in above:
        print(f"more than {MAX_RATIO:g} times as slow as without it: {name}")
    return 1 if above or any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
