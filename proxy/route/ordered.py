"""The routes of one destination, as xDS orders them: the best virtual host by authority, then its first route by path.

This differs from `match`, where the most specific path wins: there a person writes routes in any order, here a program
has put them into theirs.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.route.match import MAX_NAME_BYTES, split_authority
from proxy.route.model import EXACT, PREFIX, Route
from proxy.route.regex import compile_regex


class Entry:
    """A route, ready to be compared."""

    __slots__ = ("_kind", "_regex", "_value", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self._kind = route.path.kind
        self._value = route.path.value.encode()
        self._regex = compile_regex(route.path.value) if self._kind not in (EXACT, PREFIX) else None

    def matches(self, path: bytes) -> bool:
        if self._regex is not None:
            return self._regex.matches(path)
        return path == self._value if self._kind == EXACT else path.startswith(self._value)


class OrderedRoutes:
    """Ready for look-ups; new routes make a new one."""

    __slots__ = ("_any", "_hosts", "_suffixes")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._any: list[Entry] = []
        self._hosts: dict[bytes, list[Entry]] = {}
        self._suffixes: dict[bytes, list[Entry]] = {}  # keys begin with the dot
        for route in routes:
            entry = Entry(route)
            for authority in route.authorities:
                self._table(authority).append(entry)

    def _table(self, pattern: str) -> list[Entry]:
        if pattern == "*":
            return self._any
        if pattern.startswith("*."):
            return self._suffixes.setdefault(pattern[1:].encode(), [])
        return self._hosts.setdefault(pattern.encode(), [])

    def match(self, authority: bytes, path: bytes) -> Route | None:
        """Find the route of a request; `path` is the `:path` with its query, if any."""
        path = path.partition(b"?")[0]
        for entry in self._find_host(authority) if self._hosts or self._suffixes else self._any:
            if entry.matches(path):
                return entry.route
        return None

    def _find_host(self, authority: bytes) -> list[Entry]:
        host, port = split_authority(authority)
        found = self._hosts.get(host + port) or self._hosts.get(host)
        if found is None and self._suffixes and len(host) <= MAX_NAME_BYTES:
            dot = host.find(b".", 1)
            while found is None and dot >= 0:
                found = self._suffixes.get(host[dot:] + port) or self._suffixes.get(host[dot:])
                dot = host.find(b".", dot + 1)
        return self._any if found is None else found
