"""From a document to the model: which fields there are, what each may hold, and what they must say together.

A field that is wrong is reported and left out, and the rest is still checked; what then comes out is never used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from proxy.config.document import MAX_PROBLEMS, Problems, Value
from proxy.config.values import (
    ValueProblem,
    listen_address,
    parse_address,
    parse_authority,
    parse_count,
    parse_duration,
    parse_name,
    parse_path,
    parse_pattern,
    parse_protocol,
    parse_size,
    parse_weight,
)
from proxy.route.model import (
    ANY_PATH,
    PATH_KINDS,
    REGEX,
    Address,
    Cluster,
    Endpoint,
    PathMatch,
    ProxyConfig,
    Route,
    Settings,
)

T = TypeVar("T")


class Setting(NamedTuple):
    """How a setting is called in `Settings`, how it is read, and what is sensible."""

    field: str
    parse: Callable[[str], float]
    lowest: str
    highest: str


SETTINGS = {
    "max_concurrent_streams": Setting("max_concurrent_streams", parse_count, "1", "1000000"),
    "stream_window": Setting("stream_window_bytes", parse_size, "1KiB", "16MiB"),
    "max_header_size": Setting("max_header_bytes", parse_size, "1KiB", "1MiB"),
    "max_header_fields": Setting("max_header_fields", parse_count, "10", "10000"),
    "idle_timeout": Setting("idle_timeout_s", parse_duration, "1s", "720h"),
    "drain_timeout": Setting("drain_timeout_s", parse_duration, "1ms", "24h"),
    "max_connection_age": Setting("max_connection_age_s", parse_duration, "1s", "720h"),
    "upstream_user_timeout": Setting("upstream_user_timeout_s", parse_duration, "1s", "1h"),
    "dns_refresh": Setting("dns_refresh_s", parse_duration, "100ms", "1h"),
    "max_connections": Setting("max_connections", parse_count, "10", "1000000"),
    "max_buffered": Setting("max_buffered_bytes", parse_size, "1MiB", "1GiB"),
    "rapid_reset_streams": Setting("rapid_reset_streams", parse_count, "10", "1000000"),
    "detect_timeout": Setting("detect_timeout_s", parse_duration, "10ms", "1m"),
    "head_timeout": Setting("head_timeout_s", parse_duration, "1s", "10m"),
    "stalled_timeout": Setting("stalled_timeout_s", parse_duration, "1s", "24h"),
    "tcp_idle_timeout": Setting("tcp_idle_timeout_s", parse_duration, "1s", "720h"),
}


class Fields:
    """Reads the parts of one document, and collects what is wrong with them."""

    __slots__ = ("_problems",)

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def read(self, document: Value) -> ProxyConfig | None:
        """Read a whole configuration; None if there are problems."""
        if document.is_empty:
            self._problems.add(
                document, "the file is empty; give it `listen` and `clusters`, as docs/proxy-config.md has it"
            )
            return None
        entries = self._mapping(document, ("listen", "admin", "clusters", "routes", "settings"), ("listen", "clusters"))
        listen = self._scalar(entries.get("listen"), listen_address)
        admin = self._scalar(entries.get("admin"), listen_address)
        if listen is not None and listen == admin and listen.port:
            self._problems.add(entries["admin"], f"'{admin}' is the listen address too; take another port")
        clusters = self._named(entries.get("clusters"), "cluster", self._cluster)
        routes = self._routes(entries.get("routes"), document, clusters)
        settings = self._settings(entries.get("settings"))
        if self._problems.count or listen is None:
            return None
        return ProxyConfig(listen, admin, clusters, routes, settings)

    def read_settings(self, document: Value) -> Settings | None:
        """Read what is there for a proxy that is told all the rest; None if there are problems.

        An empty file is one without settings: a ConfigMap that was emptied must not keep a pod from starting.
        """
        if document.is_empty:
            return Settings()
        settings = self._settings(self._mapping(document, ("settings",)).get("settings"))
        return None if self._problems.count else settings

    def _mapping(self, value: Value | None, known: tuple[str, ...], required: tuple[str, ...] = ()) -> dict[str, Value]:
        if value is None:
            return {}
        if value.entries is None:
            self._problems.add(value, f"{value.kind} instead of a mapping with {listing(known)}")
            return {}
        for key, entry in value.entries.items():
            if key not in known:
                self._problems.add(entry, f"there is no field '{key}' here; {self._suggestion(key, known)}")
        for key in required:
            if key not in value.entries:
                self._problems.add(value, f"the field '{key}' is missing")
        return value.entries

    def _suggestion(self, key: str, known: tuple[str, ...]) -> str:
        return suggest(key, known) if self._problems.count < MAX_PROBLEMS else "there are " + listing(known)

    def _items(self, value: Value | None, what: str) -> list[Value]:
        if value is None:
            return []
        if not value.items:
            given = "an empty list" if value.items == [] else value.kind
            self._problems.add(value, f"{given} instead of a list of {what}")
            return []
        return value.items

    def _scalar(self, value: Value | None, parse: Callable[[str], T]) -> T | None:
        if value is None:
            return None
        if value.text is None or value.is_null:
            self._problems.add(value, f"{value.kind} instead of a value; give one, or leave the field out")
            return None
        try:
            return parse(value.text)
        except ValueProblem as problem:
            self._problems.add(value, str(problem))
            return None

    def _named(self, value: Value | None, what: str, read: Callable[[Value], T | None]) -> tuple[T, ...]:
        found: dict[str, T] = {}
        for item in self._items(value, what + "s"):
            made: Any = read(item)
            if made is not None and made.name in found:
                self._problems.add(item, f"there is another {what} '{made.name}'; names are unique")
            elif made is not None:
                found[made.name] = made
        return tuple(found.values())

    def _cluster(self, value: Value) -> Cluster | None:
        fields = ("name", "endpoints", "protocol", "connect_timeout", "failfast_timeout")
        entries = self._mapping(value, fields, ("name", "endpoints"))
        name = self._scalar(entries.get("name"), parse_name)
        endpoints = self._endpoints(entries.get("endpoints"))
        timeouts: dict[str, Any] = {
            f"{field}_s": self._scalar(entries[field], parse_duration)
            for field in ("connect_timeout", "failfast_timeout")
            if field in entries
        }
        protocol = self._scalar(entries.get("protocol"), parse_protocol) or ""
        if name is None:
            return None
        return Cluster(
            name,
            endpoints,
            protocol=protocol,
            **{field: timeout_s for field, timeout_s in timeouts.items() if timeout_s},
        )

    def _endpoints(self, value: Value | None) -> tuple[Endpoint, ...]:
        found: dict[Address, Endpoint] = {}
        for item in self._items(value, "endpoints"):
            address, weight = item, None
            if item.entries is not None:
                entries = self._mapping(item, ("address", "weight"), ("address",))
                if "address" not in entries:
                    continue
                address, weight = entries["address"], self._scalar(entries.get("weight"), parse_weight)
            parsed = self._scalar(address, parse_address)
            if parsed in found:
                self._problems.add(address, f"'{parsed}' is there already; for a larger share give it a weight")
            elif parsed is not None:
                found[parsed] = Endpoint(parsed.host, parsed.port, weight or 1)
        return tuple(found.values())

    def _routes(self, value: Value | None, document: Value, clusters: tuple[Cluster, ...]) -> tuple[Route, ...]:
        if value is None:
            if len(clusters) == 1:
                return (everything_to(clusters[0]),)
            if clusters:
                self._problems.add(document, "the field 'routes' is missing; only a single cluster needs none")
            return ()
        known = frozenset(cluster.name for cluster in clusters)
        taken: dict[tuple[str, PathMatch], str] = {}
        return self._named(value, "route", lambda item: self._route(item, known, taken))

    def _route(self, value: Value, known: frozenset[str], taken: dict[tuple[str, PathMatch], str]) -> Route | None:
        entries = self._mapping(value, ("name", "match", "cluster", "timeout"), ("cluster",))
        name = self._scalar(entries["name"], parse_name) if "name" in entries else value.path
        cluster = self._scalar(entries.get("cluster"), parse_name)
        if cluster is not None and cluster not in known:
            advice = self._suggestion(cluster, tuple(sorted(known)))
            self._problems.add(entries["cluster"], f"there is no cluster '{cluster}'; {advice}")
        match = self._mapping(entries.get("match"), ("authority", "path"))
        authorities = self._authorities(match.get("authority"))
        path = self._path(match.get("path"))
        timeout_s = self._scalar(entries.get("timeout"), parse_duration)
        if name is None or cluster is None or path is None:
            return None
        for authority in authorities:
            other = taken.setdefault((authority, path), name)
            if other != name:
                self._problems.add(value, f"'{other}' before it matches the same requests, so this one never would")
        return Route(name, authorities, path, cluster, timeout_s)

    def _authorities(self, value: Value | None) -> tuple[str, ...]:
        if value is None:
            return ("*",)
        items = [value] if value.text is not None else self._items(value, "authorities")
        found = [self._scalar(item, parse_authority) for item in items]
        return tuple(dict.fromkeys(authority for authority in found if authority is not None))

    def _path(self, value: Value | None) -> PathMatch | None:
        if value is None:
            return ANY_PATH
        entries = self._mapping(value, PATH_KINDS)
        if len(entries) != 1:
            if value.entries is not None:
                self._problems.add(value, f"{len(entries)} fields instead of one of {listing(PATH_KINDS)}")
            return None
        ((kind, entry),) = entries.items()
        text = self._scalar(entry, parse_pattern if kind == REGEX else parse_path)
        return None if text is None else PathMatch(kind, text)

    def _settings(self, value: Value | None) -> Settings:
        chosen: dict[str, Any] = {}
        for key, entry in self._mapping(value, tuple(SETTINGS)).items():
            if key in SETTINGS:
                chosen[SETTINGS[key].field] = self._scalar(entry, partial(parse_within, setting=SETTINGS[key]))
        return Settings(**chosen)


def everything_to(cluster: Cluster) -> Route:
    return Route(cluster.name, ("*",), ANY_PATH, cluster.name)


def suggest(key: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # only where there is something to suggest

    close = get_close_matches(key.lower().replace("-", "_"), known, 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else "there are " + listing(known)


def read_setting(text: str) -> tuple[str, float]:
    """The field of `Settings` that NAME=VALUE sets, and its value."""
    name, equals, value = text.partition("=")
    setting = SETTINGS.get(name.strip())
    if not equals:
        raise ValueProblem(f"'{text}' is no NAME=VALUE (write for instance idle_timeout=10m)")
    if setting is None:
        raise ValueProblem(f"there is no setting '{name}'; {suggest(name, tuple(SETTINGS))}")
    try:
        return setting.field, parse_within(value.strip(), setting)
    except ValueProblem as problem:
        raise ValueProblem(f"{name.strip()}: {problem}") from None


def listing(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:10])
    return f"{shown}, ..." if len(names) > 10 else shown or "none"


def parse_within(text: str, setting: Setting) -> float:
    number = setting.parse(text)
    if not setting.parse(setting.lowest) <= number <= setting.parse(setting.highest):
        raise ValueProblem(f"'{text}' is out of range (from {setting.lowest} to {setting.highest})")
    return number
