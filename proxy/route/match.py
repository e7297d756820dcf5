"""From a request's authority and path to its route.

The best of all routes that match wins: first by authority (host with port, host, wildcard with the longest suffix,
any), then by path (exact, longest prefix, regular expressions in order); of equals the first. So a request whose host
has routes of its own, none of which fits its path, falls through to the less specific ones.

Authority and path come from the network: a look-up takes time linear in their length, whatever they hold, and what is
remembered of earlier look-ups is bounded.
"""

from __future__ import annotations

from proxy.route.model import EXACT, PREFIX, ProxyConfig, Route
from proxy.route.regex import Regex

MAX_NAME_BYTES = 254  # a DNS name has at most 253, and may end with a dot
MAX_REMEMBERED = 512  # results; a request whose headers are new is mostly for a known authority and path
MAX_REMEMBERED_BYTES = 512  # of one path


class PathTable:
    """The routes of one authority pattern, by path."""

    __slots__ = ("_exact", "_lengths", "_patterns", "_prefixes")

    def __init__(self) -> None:
        self._exact: dict[bytes, Route] = {}
        self._prefixes: dict[bytes, Route] = {}
        self._lengths: list[int] = []
        self._patterns: list[tuple[Regex, Route]] = []

    def add(self, route: Route) -> None:
        value = route.path.value.encode()
        if route.path.kind == EXACT:
            self._exact.setdefault(value, route)
        elif route.path.kind == PREFIX:
            self._prefixes.setdefault(value, route)
            if len(value) not in self._lengths:
                self._lengths.append(len(value))
                self._lengths.sort(reverse=True)
        else:
            self._patterns.append((Regex(route.path.value), route))

    def find(self, path: bytes) -> Route | None:
        route = self._exact.get(path)
        if route is not None:
            return route
        for length in self._lengths:
            route = self._prefixes.get(path[:length])
            if route is not None:
                return route
        for pattern, route in self._patterns:
            if pattern.matches(path):
                return route
        return None


class Router:
    """The routes of one configuration, ready for look-ups. A new configuration makes a new one."""

    __slots__ = ("_any", "_names", "_remembered", "_suffixes")

    def __init__(self, config: ProxyConfig) -> None:
        self._remembered: dict[tuple[bytes, bytes], Route | None] = {}
        self._any = PathTable()
        self._names: dict[bytes, PathTable] = {}
        self._suffixes: dict[bytes, PathTable] = {}  # keys begin with the dot: b".example.com", b".example.com:80"
        for route in config.routes:
            for authority in route.authorities:
                self._table(authority).add(route)

    def _table(self, pattern: str) -> PathTable:
        if pattern == "*":
            return self._any
        if pattern.startswith("*."):
            return self._suffixes.setdefault(pattern[1:].encode(), PathTable())
        return self._names.setdefault(pattern.encode(), PathTable())

    def match(self, authority: bytes, path: bytes) -> Route | None:
        """Find the route of a request; `path` is the `:path` with its query, if any."""
        key = authority, path
        try:
            return self._remembered[key]
        except KeyError:
            route = self._search(authority, path.partition(b"?")[0])
        if len(authority) <= MAX_NAME_BYTES and len(path) <= MAX_REMEMBERED_BYTES:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = route
        return route

    def _search(self, authority: bytes, path: bytes) -> Route | None:
        if self._names or self._suffixes:
            host, port = split_authority(authority)
            if len(host) <= MAX_NAME_BYTES:
                route = self._match_host(host, port, path)
                if route is not None:
                    return route
        return self._any.find(path)

    def _match_host(self, host: bytes, port: bytes, path: bytes) -> Route | None:
        route = find_with_port(self._names, host, port, path)
        if route is not None or not self._suffixes:
            return route
        dot = host.find(b".", 1)  # `*` stands for at least one character
        while dot >= 0:
            route = find_with_port(self._suffixes, host[dot:], port, path)
            if route is not None:
                return route
            dot = host.find(b".", dot + 1)
        return None


def find_with_port(tables: dict[bytes, PathTable], host: bytes, port: bytes, path: bytes) -> Route | None:
    """Look a host up with its port first, since a pattern with a port is the more specific one."""
    if port:
        table = tables.get(host + port)
        route = table.find(path) if table is not None else None
        if route is not None:
            return route
    table = tables.get(host)
    return table.find(path) if table is not None else None


def split_authority(authority: bytes) -> tuple[bytes, bytes]:
    """Split into the host, in lower case and without the root's dot, and `:port`, empty where there is none."""
    host, colon, port = authority.rpartition(b":")
    if not colon or (port and not (len(port) <= 5 and port.isdigit())) or (b":" in host and not host.endswith(b"]")):
        host, port = authority, b""
    return host.removesuffix(b".").lower(), b":" + port if port else b""
