"""What to ask the API next for one kind, and when: list, or watch from a version. Decisions only, without I/O.

A list asks for the most recent state (no resourceVersion: a quorum read of etcd, or its equal from the API server's
cache since Kubernetes 1.31). `resourceVersion=0` would be cheaper, but answers from the cache of whichever replica is
asked, and one that lags would take the mesh back in time; `NotOlderThan` the last version seen would not, but waits for
ever after etcd was restored from a backup, when the past is the truth.

A watch that was cut goes on from the last version seen. Everything that casts doubt on that version, or on what the
stream said, leads to a list: 410, garbage, silence. (Silence need not be a fault: the API server sends a bookmark once
a minute, but only of a version beyond the one where the watch began, and an idle kind does not get there by itself.)

A watch counts as a success once it has lived for `steady_s`: until then every end, however polite, makes the waits
longer, so that no answer can make us run hot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from controlplane.sources.wire import Refusal

# Why a list or watch ended.
FINISHED = "finished"  # the API server's timeout of a watch, or its shutdown
LOST = "lost"  # the connection
EXPIRED = "expired"  # 410: that version, or that continue token, is too old
STALLED = "stalled"
GARBAGE = "garbage"
BUSY = "busy"  # 429, 5xx
REFUSED = "refused"  # any other status
UNAUTHORIZED = "unauthorized"
DENIED = "denied"  # 403, 404
START = "start"  # of the first list: nothing had ended

_LISTS_AGAIN = (EXPIRED, STALLED, GARBAGE, REFUSED, DENIED)
_DOUBLINGS = 16  # enough for any bound


@dataclass(frozen=True, slots=True)
class Limits:
    """`page_objects`: a page of real pods takes 25 ms to decode, during which nothing else runs.

    So does `page_aim_bytes`: where objects are larger, pages have fewer. `line_bytes`: etcd takes 1.5 MiB an object,
    which JSON can double. `stall_s`: bookmarks come once a minute. `list_objects`, `lists_timeout_s`: of all pages.
    """

    page_objects: int = 100
    page_aim_bytes: int = 1 << 20
    page_bytes: int = 16 << 20
    list_objects: int = 1_000_000
    lists_timeout_s: float = 600
    list_slow_s: float = 60  # from then on it is a problem
    line_bytes: int = 8 << 20
    connect_timeout_s: float = 10
    list_timeout_s: float = 60  # one page; the API server's own limit of a request is as long
    watch_timeout_s: tuple[float, float] = (300, 600)
    stall_s: float = 90
    steady_s: float = 5
    retry_s: tuple[float, float] = (1, 30)
    denied_s: tuple[float, float] = (30, 300)
    denials: int = 4  # in a row, before it is believed: an API server that starts denies before it knows its roles
    retry_after_s: float = 60


class Ask(NamedTuple):
    """A request: `reason` says why it is a list (empty: it is a watch)."""

    wait_s: float
    reason: str
    params: Mapping[str, str]


class Course:
    """Where one kind stands between list and watch."""

    def __init__(self, limits: Limits, rng: Random) -> None:
        self.version = ""  # empty: a list comes next
        self.is_denied = False
        self._reason = START
        self._wait_s = 0.0
        self._failures = 0
        self._denials = 0
        self._limits = limits
        self._rng = rng

    def ask(self) -> Ask:
        if not self.version:
            return Ask(self._wait_s, self._reason, {})
        timeout_s = self._rng.uniform(*self._limits.watch_timeout_s)
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(max(1, round(timeout_s))),
        }
        return Ask(self._wait_s, "", params)

    def listed(self, version: str) -> None:
        self.advance(version)
        self.is_denied = False
        self._denials = 0
        self._wait_s = 0

    def advance(self, version: str) -> None:
        self.version = version

    def end(self, cause: str, lived_s: float, retry_after_s: float = 0) -> None:
        """Decide what follows. `lived_s` is how long the watch was open; 0 for a list."""
        if cause in _LISTS_AGAIN:
            self.version, self._reason = "", cause
        is_steady = lived_s >= self._limits.steady_s
        if is_steady:
            self._failures = self._denials = 0
        self._denials = self._denials + 1 if cause == DENIED else 0
        if self._denials >= self._limits.denials:
            self.is_denied = True
            longest_s = self._grow(self._limits.denied_s, self._denials - self._limits.denials)
            self._wait_s = longest_s * self._rng.uniform(0.5, 1)
        elif is_steady and cause == FINISHED:
            self._wait_s = 0
        else:
            self._wait_s = self._grow(self._limits.retry_s, self._failures) * self._rng.random()
            self._failures += 1
        if retry_after_s:
            least_s = min(retry_after_s, self._limits.retry_after_s)
            self._wait_s = max(self._wait_s, least_s * self._rng.uniform(1, 1.5))

    def _grow(self, bounds_s: tuple[float, float], count: int) -> float:
        first_s, last_s = bounds_s
        return min(last_s, first_s * (1 << min(count, _DOUBLINGS)))


def judge(refusal: Refusal) -> str:
    """The cause that an error of the API stands for."""
    if refusal.code == 410:
        return EXPIRED
    if refusal.code == 401 or (refusal.code == 403 and "system:anonymous" in refusal.text):
        return UNAUTHORIZED  # without usable credentials the API knows us as anonymous, and that denies everything
    if refusal.code in (403, 404):
        return DENIED
    return BUSY if refusal.code == 429 or refusal.code >= 500 else REFUSED
