"""Lists of ports as people write them in annotations and options: `25,587,3000-3010`.

The control plane, the sidecar and the injector read the same annotation, so they read it here.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from mesh.contract import OUR_ANNOTATIONS

# Of a Service, a pod or a namespace: the ports at which connections are passed on as they are.
OPAQUE_PORTS = f"{OUR_ANNOTATIONS}opaque-ports"
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Ports:
    """`ranges` are (first, last), both included, in order and apart. `wrong` are the items that name no port."""

    ranges: tuple[tuple[int, int], ...] = ()
    wrong: tuple[str, ...] = ()

    def __contains__(self, port: int) -> bool:
        at = bisect_right(self.ranges, (port, MAX_PORT)) - 1
        return at >= 0 and port <= self.ranges[at][1]


def read_ports(text: str) -> Ports:
    """What is no port or range is left out, and named. One comma too many is no item, as where a template wrote it."""
    ranges, wrong = [], []
    for item in filter(None, map(str.strip, text.split(","))):
        first, dash, last = (part.strip() for part in item.partition("-"))
        found = (_number(first), _number(last if dash else first))
        if 0 < found[0] <= found[1]:
            ranges.append(found)
        else:
            wrong.append(item)
    return Ports(_merge(ranges), tuple(wrong))


def _number(text: str) -> int:
    """A port; 0 for anything else."""
    number = int(text) if len(text) <= 5 and text.isascii() and text.isdecimal() else 0
    return number if number <= MAX_PORT else 0


def _merge(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            first, last = merged[-1][0], max(merged.pop()[1], last)
        merged.append((first, last))
    return tuple(merged)
