"""One type on one stream: what the client wants, what it has been sent, and what is still to be said.

Invariants: `follows` holds exactly the wanted names; a name that is neither `dirty` nor `owed` is known to the client
as it is (`sent`); nothing is sent while `flight` is unacknowledged. So the newest state is sent, however often it
changed meanwhile, and what waits for a slow client is names, never responses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from controlplane.discovery.bounds import Peer
from controlplane.discovery.interest import Interest, Interests
from controlplane.translate.resource import CDS, LDS, Resource, View

# The types that have a wildcard, and whose state-of-the-world responses are complete.
WHOLE_TYPES: Final = frozenset((LDS, CDS))
ABSENT: Final = ""  # the version of what the client has been told does not exist


class Flight(NamedTuple):
    """A response that is not acknowledged yet, and the names that it told about."""

    nonce: int
    names: tuple[str, ...]


class Subscription:
    __slots__ = (
        "_interests",
        "_wake",
        "acked",
        "answer_due",
        "dirty",
        "flight",
        "follows",
        "is_complete",
        "is_new",
        "kept",
        "legacy",
        "missed",
        "names",
        "nonce",
        "not_before",
        "owed",
        "peer",
        "rejected",
        "sent",
        "since",
        "type_url",
        "view",
        "wildcard",
    )

    def __init__(self, type_url: str, view: View, interests: Interests, peer: Peer, wake: Callable[[], None]) -> None:
        self._interests = interests
        self.peer = peer
        self._wake = wake  # there may be something to send
        self.type_url = type_url
        self.view = view
        self.names: set[str] = set()  # asked for by name
        self.wildcard = False
        self.legacy = type_url in WHOLE_TYPES  # until a name is given, saying nothing means the wildcard
        self.is_new = True
        self.follows: dict[str, Interest] = {}
        self.sent: dict[str, str] = {}  # name -> version
        self.kept: dict[str, Resource] = {}  # what was sent, where a response must be complete
        self.dirty: set[str] = set()  # may differ from what was sent
        self.owed: set[str] = set()  # must be answered, whatever was sent
        self.answer_due = False  # a response must go, even an empty one
        self.missed: set[str] = set()  # left out of a request that was not heeded
        self.is_complete = False  # each response holds all resources
        self.not_before = 0.0  # when the next such response may go
        self.flight: Flight | None = None
        self.nonce = 0  # of the last response
        self.acked = 0  # responses
        self.rejected: dict[str, tuple[str, str]] = {}  # name -> version and why, until it is sent anew
        self.since: float | None = None  # the oldest change not yet sent

    # Interests call these.
    def note(self, name: str, since: float) -> None:
        self.dirty.add(name)
        self._stir(since)

    def gain(self, names: Collection[str], since: float) -> None:
        for name in names:
            self._follow(name)
            self.dirty.add(name)
        if names:
            self._stir(since)

    def lose(self, names: Collection[str], since: float) -> None:
        for name in names:
            if name not in self.names:
                self._unfollow(name)
                self.dirty.add(name)
        if names:
            self._stir(since)

    def _stir(self, since: float) -> None:
        if self.since is None:
            self.since = since
        self._wake()

    # The client asks.
    def subscribe(self, name: str) -> None:
        self.names.add(name)
        self._follow(name)

    def unsubscribe(self, name: str) -> None:
        """Forget the name, unless the wildcard stands for it."""
        self.names.discard(name)
        if not (self.wildcard and name in self._interests.names(self.type_url, self.view)):
            self._unfollow(name)
            self._forget(name)

    def subscribe_wildcard(self) -> None:
        if not self.wildcard:
            self.wildcard = True
            for name in self._interests.follow_all(self.type_url, self.view, self):
                self._follow(name)
                self.dirty.add(name)

    def unsubscribe_wildcard(self) -> None:
        if not self.wildcard:
            return
        self.wildcard = False
        self._interests.unfollow_all(self.type_url, self.view, self)
        for name in [name for name in self.follows if name not in self.names]:
            self._unfollow(name)
        for name in [name for name in self.sent if name not in self.names]:
            self._forget(name)

    def close(self) -> None:
        """Follow nothing any more."""
        if self.wildcard:
            self._interests.unfollow_all(self.type_url, self.view, self)
        for interest in self.follows.values():
            self._interests.unfollow(interest, self)
        self.peer.names -= len(self.follows)
        self.follows.clear()

    def _follow(self, name: str) -> None:
        if name not in self.follows:
            self.follows[name] = self._interests.follow(self.type_url, name, self.view, self)
            self.peer.names += 1

    def _unfollow(self, name: str) -> None:
        interest = self.follows.pop(name, None)
        if interest is not None:
            self._interests.unfollow(interest, self)
            self.peer.names -= 1

    def _forget(self, name: str) -> None:
        self.sent.pop(name, None)
        self.kept.pop(name, None)
        self.rejected.pop(name, None)
        self.dirty.discard(name)
        self.owed.discard(name)

    # The client answers.
    def land(self, nonce: str, problem: str | None) -> Flight | None:
        """The client has taken or (`problem`) refused the response in flight, if it is of this nonce."""
        flight = self.flight
        if flight is None or nonce != f"{flight.nonce:x}":
            return None
        self.flight = None
        if problem is None:
            self.acked += 1
        else:
            self.rejected.update((name, (self.sent.get(name, ABSENT), problem)) for name in flight.names)
        return flight

    # What is to be sent.
    @property
    def is_idle(self) -> bool:
        """Nothing to send now."""
        return self.flight is not None or not (self.dirty or self.owed or self.answer_due)

    def resource(self, name: str) -> Resource | None:
        interest = self.follows.get(name)
        return interest.resource if interest else None

    def launch(self, nonce: int, names: Iterable[str]) -> float | None:
        """A response goes; the result is since when its news have waited."""
        told = tuple(names)
        for name in told:
            self.rejected.pop(name, None)
        self.flight = Flight(nonce, told)
        self.nonce = nonce
        self.answer_due = False
        since, self.since = self.since, None
        return since

    def versions(self) -> list[tuple[str, str | None]]:
        """The names that are followed, and the version sent: ABSENT if said not to exist, None if nothing was said."""
        return [(name, self.sent.get(name)) for name in sorted(self.follows)]
