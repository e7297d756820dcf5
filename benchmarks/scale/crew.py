"""The fleet's process as the benchmark sees it: commands and answers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchmarkError
from benchmarks.process import running, tail
from benchmarks.scale.plan import Seat
from benchmarks.scale.timeline import Step

POLL_S = 0.1


class Crew:
    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._commands, self._answers, self._log = process.stdin, process.stdout, log

    def ask(self, command: str, **arguments: object) -> dict[str, Any]:
        self._commands.write(json.dumps([command, arguments]) + "\n")
        self._commands.flush()
        line = self._answers.readline()
        if not line:
            raise BenchmarkError(f"the light sidecars have ended:\n{tail(self._log)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def wait(self, is_met: Callable[[dict[str, Any]], bool], what: str, within_s: float = 120.0) -> dict[str, Any]:
        """The status that meets it."""
        deadline = time.monotonic() + within_s
        while not is_met(status := self.ask("status")):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"not within {within_s:.0f} s: {what}; the sidecars: {status}")
            time.sleep(POLL_S)
        return status

    def timelines(self) -> dict[str, list[Step]]:
        found = self.ask("report")["timelines"]
        return {name: [Step(frozenset(step[0]), *step[1:]) for step in steps] for name, steps in found.items()}


@contextmanager
def recruit(seats: Sequence[Seat], host: str, port: int, folder: Path) -> Iterator[Crew]:
    """The process with all sidecars, which do nothing yet."""
    file, log = folder / "seats.json", folder / "fleet.log"
    file.write_text(json.dumps([dataclasses.asdict(seat) for seat in seats]))
    argv = [sys.executable, "-m", "benchmarks.scale.fleet", host, str(port), str(file)]
    with running(argv, log, pipes=True) as process:
        yield Crew(process, log)
