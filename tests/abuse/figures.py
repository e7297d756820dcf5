"""The figures of docs/limits.md, by one command: `python -m tests.abuse.figures FILE [--runs 3] [pytest's options]`.

Runs the suite so many times, keeps each run's figures in FILE, prints a table, and fails where an attack was not
contained (issue 5): honest clients' 99th percentile above three times that without an attack. Calls of an attack are
put together over the runs, since one run makes 40 of most: their 99th percentile alone would be the slowest of 40. What
they are compared with are all calls of the same kind of scene before its first attack. Calls during a pause of the
machine's own (`pauses.py`) count for neither. `--judge` runs nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.abuse.beating import FOLDER
from tests.abuse.pauses import Pause, pauses_noted
from tests.e2e.processes import ROOT

MAX_RATIO = 3.0
BEATING = shlex.join([sys.executable, "-m", "tests.abuse.beating"])
HEADINGS = ("attack", "calls", "in pauses", "p99, ms", "ratio", "longest turn, CPU ms", "a core", "memory, KiB")


@dataclass(slots=True)
class Attack:
    """What all runs have shown of one."""

    kind: str
    took_ms: list[float] = field(default_factory=list)
    paused: int = 0
    turn_ms: float = 0.0
    cpu: float = 0.0
    grown_kib: int = 0

    def add(self, told: dict[str, Any], pauses: Sequence[Pause]) -> None:
        calls = told.get("calls", ())
        took_ms = leave_out(calls, pauses)
        self.took_ms += took_ms
        self.paused += len(calls) - len(took_ms)
        self.turn_ms = max(self.turn_ms, told.get("turn_ms", 0.0))
        self.cpu = max(self.cpu, told.get("cpu", 0.0))
        self.grown_kib = max(self.grown_kib, told["grown_kib"])


def percentile_99(took_ms: Sequence[float]) -> float:
    return sorted(took_ms)[int(len(took_ms) * 0.99)]


def leave_out(calls: Sequence[tuple[float, float]], pauses: Sequence[Pause]) -> list[float]:
    """How many ms those calls took, each told as when (s) and how long (ms), that met no pause.

    After one there is as much to do as it lasted, so its time counts twice.
    """
    return [
        took_ms
        for at_s, took_ms in calls
        if not any(begin_s < at_s + took_ms / 1000 and at_s < 2 * end_s - begin_s for begin_s, end_s in pauses)
    ]


def read(lines: Sequence[str]) -> tuple[dict[str, Attack], dict[str, float]]:
    """The attacks by name, and the 99th percentile without any by the kind of scene."""
    attacks: dict[str, Attack] = {}
    idle: dict[str, list[float]] = defaultdict(list)
    all_told = [json.loads(line) for line in lines]
    pauses = [pause for told in all_told for pause in told.get("pauses", ())]
    for told in all_told:
        if "idle" in told:
            idle[told["idle"]] += leave_out(told["calls"], pauses)
        elif "attack" in told:
            attacks.setdefault(told["attack"], Attack(told.get("kind", ""))).add(told, pauses)
    return attacks, {kind: percentile_99(took_ms) for kind, took_ms in idle.items()}


def judge(attacks: dict[str, Attack], idle_ms: dict[str, float]) -> list[str]:
    """Prints the table; the names of those that were not contained."""
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|")
    above = []
    for name, attack in attacks.items():
        cells: list[object] = [name, len(attack.took_ms), attack.paused, "", ""]
        cells += [attack.turn_ms, f"{attack.cpu:.0%}", attack.grown_kib]
        if attack.took_ms:
            p99_ms = percentile_99(attack.took_ms)
            ratio = p99_ms / idle_ms[attack.kind]
            cells[3:5] = f"{p99_ms:.1f}", f"{ratio:.1f}"
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
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--judge", action="store_true")
    arguments, options = parser.parse_known_args()
    codes = [] if arguments.judge else [measure(arguments.file, options) for _ in range(arguments.runs)]
    above = judge(*read(arguments.file.read_text().splitlines()))
    for name in above:
        print(f"more than {MAX_RATIO:g} times as slow as without it: {name}")
    return 1 if above or any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
