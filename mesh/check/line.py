"""What a check is, and what it finds: a verdict, for a bad one the cause and the cure, for every one a link."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from mesh.check.facts import Facts

DOCUMENT: Final = "docs/checks.md"
_NAMED_MAX: Final = 5


class Verdict(StrEnum):
    """`SKIPPED` may not be seen or does not apply here; `NOT_RUN` depends on what failed."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not run"


class Finding(NamedTuple):
    """`cause` is one sentence, of what is well too where that is worth a word; `cure` says what to do.

    What `is_passing` may be well in a moment by itself: `--wait` waits for it as for what failed.
    """

    verdict: Verdict
    cause: str = ""
    cure: str = ""
    is_passing: bool = False


class Check(NamedTuple):
    """One line. `name` is its section in docs/checks.md; without those that it `needs`, it is not run."""

    name: str
    title: str
    judge: Callable[[Facts], Finding]
    needs: tuple[str, ...] = ()


class Line(NamedTuple):
    """A check with what it found."""

    group: str
    check: Check
    finding: Finding

    @property
    def link(self) -> str:
        return f"{DOCUMENT}#{self.check.name}"


def ok(cause: str = "") -> Finding:
    return Finding(Verdict.OK, cause)


def warn(cause: str, cure: str) -> Finding:
    return Finding(Verdict.WARNING, cause, cure)


def hold(cause: str, cure: str) -> Finding:
    """It is too early to tell."""
    return Finding(Verdict.WARNING, cause, cure, is_passing=True)


def fail(cause: str, cure: str) -> Finding:
    return Finding(Verdict.FAILED, cause, cure)


def skip(reason: str) -> Finding:
    return Finding(Verdict.SKIPPED, reason)


def enumerate_some(found: Iterable[str]) -> str:
    """The first few, and how many more there are."""
    items = list(found)
    more = len(items) - _NAMED_MAX
    return "; ".join(items[:_NAMED_MAX]) + (f"; and {more} more" if more > 0 else "")
