"""What the log says of resources that clients refuse: little, however many do so, and all of it is counted.

A client that refuses everything, or calls itself something else each time, writes a bounded number of lines.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from controlplane.discovery.stream import Nack

PERIOD_S: Final = 60.0
LINES_MAX: Final = 60  # in a period, of all clients
_NAMES_SHOWN: Final = 5


class Refusals:
    def __init__(self) -> None:
        self._began_s: float | None = None
        self._told: set[str] = set()  # clients, in this period
        self._said = 0  # of all refusals, those that the log has a line of, or has counted

    def lines(self, nacks: Collection[Nack], total: int, now: float) -> list[str]:
        """Of new refusals, and of how many there have been in all."""
        lines = []
        if self._began_s is None or now - self._began_s >= PERIOD_S:
            self._began_s = now
            total -= len(nacks)
            if missed := total - self._said - len(self._told):
                lines.append(f"refused by clients: and {missed} more; /debug/config shows the last of them")
            self._said = total
            self._told.clear()
        for nack in nacks:
            if nack.node not in self._told and len(self._told) < LINES_MAX:
                self._told.add(nack.node)
                lines.append(describe(nack))
        return lines


def describe(nack: Nack) -> str:
    kind = nack.type_url.rpartition(".")[2]
    return f"refused by {nack.node}: {kind} {', '.join(nack.names[:_NAMES_SHOWN])}: {nack.problem}"
