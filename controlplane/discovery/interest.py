"""What all streams of one view want to know about one name, so that a change is looked up once and not once a stream.

Also who follows it, and when it may be sent again: the first change goes at once, later ones of the same resource no
faster than its size times its followers allows at `bytes_per_s`.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator
from typing import Final, Protocol

from controlplane.discovery.catalog import Catalog
from controlplane.translate.resource import Resource, View

WILDCARD: Final = "*"


class Follower(Protocol):
    """One type on one stream: the follower of interests and of a wildcard."""

    def note(self, name: str, since: float) -> None:
        """This name has changed, since then."""

    def gain(self, names: Collection[str], since: float) -> None:
        """The wildcard stands for these names too."""

    def lose(self, names: Collection[str], since: float) -> None:
        """The wildcard stands for these names no longer."""


class Interest:
    """A (type, name, view). `resource` is what the catalog said last; `since` the oldest change not yet looked up."""

    __slots__ = ("followers", "keys", "name", "not_before", "resource", "since", "type_url", "view")

    def __init__(self, type_url: str, name: str, view: View) -> None:
        self.type_url = type_url
        self.name = name
        self.view = view
        self.keys: tuple[str, ...] = ()
        self.resource: Resource | None = None
        self.followers: set[Follower] = set()
        self.not_before = 0.0
        self.since: float | None = None


class Wildcard:
    """What `*` stands for, for all streams of one view."""

    __slots__ = ("followers", "keys", "names", "type_url", "view")

    def __init__(self, type_url: str, view: View, keys: tuple[str, ...], names: Collection[str]) -> None:
        self.type_url = type_url
        self.view = view
        self.keys = frozenset(keys)
        self.names = frozenset(names)
        self.followers: set[Follower] = set()


class Interests:
    """All interests, by what they depend on."""

    def __init__(self, catalog: Catalog, known_types: Collection[str], bytes_per_s: float) -> None:
        self._catalog = catalog
        self._known_types = frozenset(known_types)
        self._bytes_per_s = bytes_per_s
        self._interests: dict[tuple[str, str, View], Interest] = {}
        self._wildcards: dict[tuple[str, View], Wildcard] = {}
        self._by_key: dict[str, set[Interest]] = {}
        self._waiting: list[tuple[float, int, Interest]] = []
        self._waits = 0
        self.follows = 0  # pairs of an interest and a follower, which is what memory goes to

    def follow(self, type_url: str, name: str, view: View, follower: Follower) -> Interest:
        key = (type_url, name, view)
        interest = self._interests.get(key)
        if interest is None:
            interest = self._interests[key] = Interest(type_url, name, view)
            self._look_up(interest)
        interest.followers.add(follower)
        self.follows += 1
        return interest

    def unfollow(self, interest: Interest, follower: Follower) -> None:
        interest.followers.discard(follower)
        self.follows -= 1
        if not interest.followers:
            del self._interests[interest.type_url, interest.name, interest.view]
            self._index(interest, ())

    def follow_all(self, type_url: str, view: View, follower: Follower) -> frozenset[str]:
        """Follow the wildcard; the result is what it stands for now."""
        wildcard = self._wildcards.get((type_url, view))
        if wildcard is None:
            keys = self._catalog.keys(type_url, WILDCARD, view)
            wildcard = Wildcard(type_url, view, keys, self._names_of(type_url, view))
            self._wildcards[type_url, view] = wildcard
        wildcard.followers.add(follower)
        return wildcard.names

    def names(self, type_url: str, view: View) -> frozenset[str]:
        """What the wildcard stands for, empty where nobody follows it."""
        wildcard = self._wildcards.get((type_url, view))
        return wildcard.names if wildcard else frozenset()

    def unfollow_all(self, type_url: str, view: View, follower: Follower) -> None:
        wildcard = self._wildcards[type_url, view]
        wildcard.followers.discard(follower)
        if not wildcard.followers:
            del self._wildcards[type_url, view]

    def announce(self, keys: Collection[str], now: float, since: float) -> None:
        """The catalog has changed in these keys: tell the followers, or put it off."""
        changed = {interest for key in keys for interest in self._by_key.get(key, ())}
        for interest in changed:
            if interest.not_before > now:
                self._put_off(interest, since)
            else:
                self._refresh(interest, now, since)
        for wildcard in self._wildcards.values():
            if not wildcard.keys.isdisjoint(keys):
                self._compare(wildcard, since)

    def release(self, now: float) -> None:
        """Tell what was put off, as far as its time has come."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, interest = heapq.heappop(self._waiting)
            if interest.since is not None and interest.followers:
                self._refresh(interest, now, interest.since)

    @property
    def next_release(self) -> float | None:
        return self._waiting[0][0] if self._waiting else None

    def __iter__(self) -> Iterator[Interest]:
        return iter(self._interests.values())

    def _names_of(self, type_url: str, view: View) -> Collection[str]:
        return self._catalog.wildcard(type_url, view) if type_url in self._known_types else ()

    def _put_off(self, interest: Interest, since: float) -> None:
        if interest.since is None:
            interest.since = since
            self._waits += 1
            heapq.heappush(self._waiting, (interest.not_before, self._waits, interest))

    def _refresh(self, interest: Interest, now: float, since: float) -> None:
        before = interest.resource
        interest.since = None
        self._look_up(interest)
        after = interest.resource
        if (before and before.version) == (after and after.version):
            return
        size = len(after.body) if after else len(interest.name)
        interest.not_before = now + size * len(interest.followers) / self._bytes_per_s
        for follower in interest.followers:
            follower.note(interest.name, since)

    def _look_up(self, interest: Interest) -> None:
        if interest.type_url not in self._known_types:
            return
        interest.resource = self._catalog.get(interest.type_url, interest.name, interest.view)
        keys = self._catalog.keys(interest.type_url, interest.name, interest.view)
        if keys != interest.keys:
            self._index(interest, keys)

    def _index(self, interest: Interest, keys: tuple[str, ...]) -> None:
        for key in interest.keys:
            if key not in keys and (found := self._by_key.get(key)):
                found.discard(interest)
                if not found:
                    del self._by_key[key]
        for key in keys:
            self._by_key.setdefault(key, set()).add(interest)
        interest.keys = keys

    def _compare(self, wildcard: Wildcard, since: float) -> None:
        names = frozenset(self._names_of(wildcard.type_url, wildcard.view))
        if names == wildcard.names:
            return
        gained, lost = names - wildcard.names, wildcard.names - names
        wildcard.names = names
        for follower in wildcard.followers:
            follower.gain(gained, since)
            follower.lose(lost, since)
