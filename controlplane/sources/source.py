"""What a source of objects is to the rest of the control plane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from controlplane.model.snapshot import Change, Relist

# Called on the event loop, in the order of events; a Relist begins what is known of a kind.
Sink = Callable[[Sequence[Change | Relist]], None]

# (what is counted, kind of object, reason or type) -> how often. What is counted: events, relists, watches (that ended,
# and why), unreadable (objects, lines, files).
Counters = Mapping[tuple[str, str, str], int]


class SourceError(Exception):
    """The source cannot be used as it is configured. The message is complete: print it and exit with 2."""


class Source(Protocol):
    """Runs until it is cancelled, through any failure of what it watches. `now` is `time.monotonic()`."""

    async def open(self) -> None:
        """Check the configuration, before anything is served; raises SourceError. `run` opens what is not open."""

    async def run(self, sink: Sink) -> None: ...

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed once (or is known to be unavailable). Never false again."""

    def staleness_s(self, now: float) -> float:
        """Seconds since the last proof that the data are current (of the kind where that is longest ago).

        A kind that we are not allowed to read any more, and can do without, does not count.
        """

    def staleness(self, now: float) -> Mapping[str, float]:
        """The same for each kind; one that has been unavailable from the start has none."""

    def problems(self) -> list[str]:
        """What is wrong now, one sentence each; empty when all is well."""

    def counters(self) -> Counters:
        """What has happened since the start; the figures only grow."""
