"""What to do next about the certificate, decided from what is kept and known; a table, without I/O.

| what is there                                           | what follows                                             |
|---------------------------------------------------------|----------------------------------------------------------|
| no certificate, or one that nobody accepts: ended, or   | BEGIN: a new one at once, since nothing works meanwhile  |
| not valid yet, as a wrong clock makes it                |                                                          |
| none that can be read, but we still serve one           | RESTORE: keep that, and make its successor               |
| one of which two thirds are over, or with other names   | PREPARE: make its successor, and have it trusted         |
| a successor that ends before it would be served         | PREPARE                                                  |
| a successor that every caBundle has held for `spread_s` | PROMOTE: serve it; the authority before stays trusted    |
| an authority of before that has ended                   | FORGET                                                   |

Invariant: a certificate is served only after its authority was read back from every caBundle, and `spread_s` later, as
API servers hear of that one after the other; unless there was none that works.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from injector.certificate.pair import Pair, make_pair, read_certificate
from injector.certificate.store import Store


@dataclass(frozen=True, slots=True)
class Terms:
    """All times follow from the certificates' lifetime, so that a short one shows in minutes what happens in months."""

    lifetime_s: float

    @property
    def renewal_s(self) -> float:
        """So long before the end."""
        return self.lifetime_s / 3

    @property
    def spread_s(self) -> float:
        return min(60.0, self.lifetime_s / 20)

    @property
    def look_s(self) -> float:
        """How often to look: a caBundle that somebody emptied is filled again within this time."""
        return min(5.0, self.lifetime_s / 20)


class Step(Enum):
    KEEP = auto()
    BEGIN = auto()
    RESTORE = auto()
    PREPARE = auto()
    PROMOTE = auto()
    FORGET = auto()


def choose(
    store: Store, served: Pair | None, trusted_s: float | None, names: Collection[str], terms: Terms, now: datetime
) -> Step:
    """`trusted_s` is for how long every caBundle has been seen to hold all of `store.bundle()`; None: it does not."""
    current, following = store.current, store.following
    if current is None and served is not None and is_valid(served, now):
        return Step.RESTORE
    if current is None or not is_valid(current, now):
        return Step.BEGIN
    if following is not None and is_fit(following, names, terms, now):
        return Step.PROMOTE if trusted_s is not None and trusted_s >= terms.spread_s else Step.KEEP
    if following is not None or not is_fit(current, names, terms, now):
        return Step.PREPARE
    if store.previous and read_certificate(store.previous).not_valid_after_utc < now:
        return Step.FORGET
    return Step.KEEP


def is_valid(pair: Pair, now: datetime) -> bool:
    return pair.not_before <= now < pair.not_after


def is_fit(pair: Pair, names: Collection[str], terms: Terms, now: datetime) -> bool:
    """Whether it need not be replaced yet."""
    ends_late = now < pair.not_after - timedelta(seconds=terms.renewal_s)
    return is_valid(pair, now) and ends_late and pair.names >= {*names}


def take(step: Step, store: Store, served: Pair | None, names: Sequence[str], terms: Terms, now: datetime) -> Store:
    """What is to be kept after that step."""
    match step:
        case Step.BEGIN:
            return Store(make_pair(names, now, terms.lifetime_s))
        case Step.RESTORE:
            return Store(served, make_pair(names, now, terms.lifetime_s), store.previous)
        case Step.PREPARE:
            return Store(store.current, make_pair(names, now, terms.lifetime_s), store.previous)
        case Step.PROMOTE:
            return Store(store.following, None, store.current.authority if store.current else "")
        case Step.FORGET:
            return Store(store.current, store.following)
        case Step.KEEP:
            return store
