"""What became of a pod, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from injector.patch.difference import Operation, diff
from injector.patch.fields import Fields


class Verdict(StrEnum):
    """`INJECTED` also where only probes were added to; `REFUSED` is the user's to mend, `SKIPPED` is not."""

    INJECTED = "injected"
    REMOVED = "removed"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reason` is one of few words (a metric's label), `sentence` is for people; both are empty after success."""

    verdict: Verdict
    before: Fields
    after: Fields
    reason: str = ""
    sentence: str = ""
    warnings: tuple[str, ...] = ()

    def patch(self) -> list[Operation]:
        """RFC 6902, from the one to the other; its paths begin at the pod."""
        return list(diff(self.before, self.after))
