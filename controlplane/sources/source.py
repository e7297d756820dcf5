"""What a source of objects is to the rest of the control plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from controlplane.model.snapshot import Change, Relist

# Called on the event loop, in the order of events; a Relist begins what is known of a kind.
Sink = Callable[[Sequence[Change | Relist]], None]


class Source(Protocol):
    """Runs until it is cancelled, through any failure of what it watches."""

    async def run(self, sink: Sink) -> None: ...

    @property
    def synced(self) -> bool:
        """Whether every kind has been listed once (or is known to be unavailable). Never false again."""

    def staleness_s(self, now: float) -> float:
        """Seconds since the last proof that the data are current (of the kind where that is longest ago)."""

    def problems(self) -> list[str]:
        """What is wrong now, one sentence each; empty when all is well."""
