"""The test's side of a load (load.py): who answered its calls, and which of them failed."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from tests.cluster.client import wait_until
from tests.cluster.part import Part

# So many last answers decide who gets traffic.
WINDOW = 60


class Outcome(NamedTuple):
    """One call; times are of the machine's monotonic clock. One that failed has an `error`, and nobody answered it."""

    begun_s: float
    seen_s: float
    answered_by: str
    error: str


class Caller:
    """What one load does, as its log tells it."""

    def __init__(self, name: str, part: Part) -> None:
        self.name, self.part = name, part
        self._outcomes: list[Outcome] = []
        self._remarks: list[str] = []
        self._read_bytes = 0

    @property
    def outcomes(self) -> list[Outcome]:
        """All calls that have ended, in the order of their ends."""
        with self.part.log.open("rb") as log:
            log.seek(self._read_bytes)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(newline)
        for line in whole.decode(errors="replace").splitlines():
            if line.startswith("["):
                self._outcomes.append(Outcome(*json.loads(line)))
            else:
                self._remarks.append(line)
        return self._outcomes

    @property
    def failures(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.error]

    def wait_answers(self, names: AbstractSet[str]) -> None:
        """Until these backends, each of them and no other, answer what is called from now on."""
        first = len(self.outcomes)

        def is_so() -> bool:
            self.part.check()
            window = self.outcomes[first:][-WINDOW:]
            return len(window) == WINDOW and {outcome.answered_by for outcome in window} == names

        try:
            wait_until(is_so, f"{self.name} to be answered by {sorted(names)}", 60)
        except TimeoutError as error:
            last = self.outcomes[first:][-WINDOW:]
            error.add_note(f"the last were {sorted({outcome.answered_by or outcome.error for outcome in last})}")
            error.add_note("\n".join(self._remarks[-10:]))
            raise

    def stop(self) -> None:
        """End the load; calls under way are waited for. All calls that it has begun must have ended."""
        self.part.stop()
        begun = len(self.outcomes)
        assert self._remarks[-1:] == [f"ended: {begun}"], self._remarks[-10:]
