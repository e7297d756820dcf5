"""What all streams of one view want to know about one name, so that a change is looked up once and not once a stream.

Also who follows it, and when it may be sent again: the first change goes at once, later ones of the same name no
faster than its size times its followers, of all views, allows at `bytes_per_s`. What depends on the whole mesh costs
most to look up: of these one is looked up at a time, so that others get their turn in between.
"""

from __future__ import annotations

import heapq
from collections import Counter
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


class Pace:
    """A (type, name), whatever the view: how many follow it, and when it may be sent again."""

    __slots__ = ("followers", "not_before")

    def __init__(self) -> None:
        self.followers = 0
        self.not_before = 0.0


class Interest:
    """A (type, name, view). `resource` is what the catalog said last; `since` the oldest change not yet told.

    `is_split` if a newcomer has seen a change of which the others have not been told.
    """

    __slots__ = ("followers", "is_split", "keys", "name", "pace", "resource", "since", "type_url", "view")

    def __init__(self, type_url: str, name: str, view: View, pace: Pace) -> None:
        self.type_url = type_url
        self.name = name
        self.view = view
        self.pace = pace
        self.keys: tuple[str, ...] = ()
        self.resource: Resource | None = None
        self.followers: set[Follower] = set()
        self.since: float | None = None
        self.is_split = False

    @property
    def is_whole(self) -> bool:
        """Whether it depends on the whole mesh."""
        return WILDCARD in self.keys


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

    def __init__(self, catalog: Catalog, bytes_per_s: float) -> None:
        self._catalog = catalog
        self.bytes_per_s = bytes_per_s
        self._interests: dict[tuple[str, str, View], Interest] = {}
        self._wildcards: dict[tuple[str, View], Wildcard] = {}
        self._by_key: dict[str, set[Interest]] = {}
        self._waiting: list[tuple[float, int, Interest]] = []
        self._waits = 0
        self._paces: dict[tuple[str, str], Pace] = {}
        self.follows = 0  # pairs of an interest and a follower, which is what memory goes to
        self.wildcards: Counter[str] = Counter()  # by type, the streams that follow all

    def follow(self, type_url: str, name: str, view: View, follower: Follower) -> Interest:
        key = (type_url, name, view)
        interest = self._interests.get(key)
        if interest is None:
            pace = self._paces.setdefault((type_url, name), Pace())
            interest = self._interests[key] = Interest(type_url, name, view, pace)
            self._look_up(interest)
        elif interest.since is not None:
            interest.is_split |= self._look_up(interest)
        interest.followers.add(follower)
        interest.pace.followers += 1
        self.follows += 1
        return interest

    def unfollow(self, interest: Interest, follower: Follower) -> None:
        interest.followers.discard(follower)
        self.follows -= 1
        interest.pace.followers -= 1
        if not interest.pace.followers:
            del self._paces[interest.type_url, interest.name]
        if not interest.followers:
            del self._interests[interest.type_url, interest.name, interest.view]
            self._index(interest, ())

    def follow_all(self, type_url: str, view: View, follower: Follower) -> frozenset[str]:
        """Follow the wildcard; the result is what it stands for now."""
        wildcard = self._wildcards.get((type_url, view))
        if wildcard is None:
            keys = self._catalog.keys(type_url, WILDCARD, view)
            wildcard = Wildcard(type_url, view, keys, self._catalog.wildcard(type_url, view))
            self._wildcards[type_url, view] = wildcard
        wildcard.followers.add(follower)
        self.wildcards[type_url] += 1
        return wildcard.names

    def names(self, type_url: str, view: View) -> frozenset[str]:
        """What the wildcard stands for, empty where nobody follows it."""
        wildcard = self._wildcards.get((type_url, view))
        return wildcard.names if wildcard else frozenset()

    def unfollow_all(self, type_url: str, view: View, follower: Follower) -> None:
        wildcard = self._wildcards[type_url, view]
        wildcard.followers.discard(follower)
        self.wildcards[type_url] -= 1
        if not wildcard.followers:
            del self._wildcards[type_url, view]

    def announce(self, keys: Collection[str], now: float, since: float) -> None:
        """The catalog has changed in these keys: tell the followers, or put it off."""
        changed = {interest for key in keys for interest in self._by_key.get(key, ())}
        held = {interest for interest in changed if interest.is_whole or interest.pace.not_before > now}
        for interest in held:
            self._put_off(interest, max(now, interest.pace.not_before), since)
        for interest in changed - held:
            self._refresh(interest, now, since)
        for wildcard in self._wildcards.values():
            if not wildcard.keys.isdisjoint(keys):
                self._compare(wildcard, since)
        self.release(now)

    def release(self, now: float) -> None:
        """Tell what was put off, as far as its time has come; only one of what depends on the whole mesh."""
        while self._waiting and self._waiting[0][0] <= now:
            _, _, interest = heapq.heappop(self._waiting)
            if interest.since is not None and interest.followers:
                self._refresh(interest, now, interest.since)
                if interest.is_whole:
                    return

    @property
    def next_release(self) -> float | None:
        return self._waiting[0][0] if self._waiting else None

    def __iter__(self) -> Iterator[Interest]:
        return iter(self._interests.values())

    def _put_off(self, interest: Interest, due: float, since: float) -> None:
        if interest.since is None:
            interest.since = since
            self._waits += 1
            heapq.heappush(self._waiting, (due, self._waits, interest))

    def _refresh(self, interest: Interest, now: float, since: float) -> None:
        was_awaited = interest.since is not None and interest.is_whole  # streams keep removals back until then
        interest.since = None
        is_news = self._look_up(interest) or interest.is_split
        interest.is_split = False
        if not (is_news or was_awaited):
            return
        if is_news:
            size = len(interest.resource.body) if interest.resource else len(interest.name)
            pace = interest.pace
            pace.not_before = max(pace.not_before, now + size * pace.followers / self.bytes_per_s)
        for follower in interest.followers:
            follower.note(interest.name, since)

    def _look_up(self, interest: Interest) -> bool:
        """Whether the catalog says anything new."""
        before = interest.resource
        after = interest.resource = self._catalog.get(interest.type_url, interest.name, interest.view)
        keys = self._catalog.keys(interest.type_url, interest.name, interest.view)
        if keys != interest.keys:
            self._index(interest, keys)
        return (before and before.version) != (after and after.version)

    def exists(self, type_url: str, name: str, view: View) -> bool:
        return self._catalog.get(type_url, name, view) is not None

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
        names = frozenset(self._catalog.wildcard(wildcard.type_url, wildcard.view))
        if names == wildcard.names:
            return
        gained, lost = names - wildcard.names, wildcard.names - names
        wildcard.names = names
        for follower in wildcard.followers:
            follower.gain(gained, since)
            follower.lose(lost, since)
