"""What was done, for people: one line an object, what to mind, and a summary. Nothing of it goes to stdout."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from injector.patch import Verdict
from mesh.inject.workloads import Identity
from mesh.log import escape

_WIDTH = 10


class Line(NamedTuple):
    """`verdict` is a Verdict, or what else became of the object, in a word."""

    verdict: str
    identity: Identity
    sentence: str = ""
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.verdict:{_WIDTH}}{self.identity}" + (f": {self.sentence}" if self.sentence else "")]
        lines += [f"{'warning':{_WIDTH}}{self.identity}: {warning}" for warning in self.warnings]
        return "\n".join(map(escape, lines))  # a manifest's names may hold what moves a cursor


def summarize(lines: list[Line], others: int) -> str:
    """How many of each; `others` are objects without pods."""
    counts = Counter(line.verdict for line in lines)
    parts = [f"{count} {verdict}" for verdict, count in counts.items()]
    if others:
        parts.append(f"{others} without pods")
    return ", ".join(parts) or "no objects"


def is_refused(lines: list[Line]) -> bool:
    return any(line.verdict == Verdict.REFUSED for line in lines)
