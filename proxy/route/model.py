"""What the proxy is told: listeners, clusters, routes, settings, as immutable values.

Pure data, whoever made it: the configuration file, the command line, and xDS all end here, and what they give has been
validated. Equal configurations compare equal, so that a reload can tell what changed.
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT = "exact"
PREFIX = "prefix"
REGEX = "regex"
PATH_KINDS = (EXACT, PREFIX, REGEX)


def join_host_port(host: str, port: int) -> str:
    """Write an address as users write it: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `host` is an IP address or a name, without brackets; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


@dataclass(frozen=True, slots=True)
class Workload:
    """Who runs at endpoints, for metrics alone. `kind` is `deployment`, `statefulset`, ...; '' is not known."""

    namespace: str = ""
    kind: str = ""
    name: str = ""
    service_account: str = ""


UNKNOWN_WORKLOAD = Workload()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send. A `host` that is a name stands for all addresses that it resolves to, each with this weight.

    `is_foreign`: nobody but the application knows of it, so nobody can say that it will be back soon.
    """

    host: str
    port: int
    weight: int = 1
    pod: str = ""
    workload: Workload = UNKNOWN_WORKLOAD
    is_foreign: bool = False

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


# What a port speaks, where it is known; '' is to be detected. DETECT is too, even where the port's number would make it
# opaque; so is TLS, whose client speaks first, and says a name that metrics want.
HTTP2 = "http2"
HTTP1 = "http"
OPAQUE = "tcp"
DETECT = "detect"
PROTOCOLS = {"grpc": HTTP2, HTTP2: HTTP2, HTTP1: HTTP1, OPAQUE: OPAQUE, "tls": DETECT, DETECT: DETECT}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Endpoints that are equal for a request, and how long to wait for one of them.

    `by_name`: who dials one of the endpoints by its IP, in the cluster's name, means all of them (DESIGN 3.5).
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    connect_timeout_s: float = 1.0
    failfast_timeout_s: float = 3.0
    protocol: str = ""
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class PathMatch:
    """How a path, less its query, is compared: whole, by its first characters, or as a whole with a pattern."""

    kind: str
    value: str


ANY_PATH = PathMatch(PREFIX, "")


@dataclass(frozen=True, slots=True)
class Route:
    """Requests of these authorities and this path go to this cluster.

    An authority is `*` (any), `*.suffix`, or a host; the latter two with `:port` for that port only. All in lower case.
    """

    name: str
    authorities: tuple[str, ...]
    path: PathMatch
    cluster: str
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """What the control plane says of one authority: where its requests go. Each cluster is named by a route.

    Of the routes whose authorities match best, the first whose path matches counts, as in xDS; an authority `*` is any
    that led here. Several destinations may have the same clusters.
    """

    name: str
    routes: tuple[Route, ...]
    clusters: tuple[Cluster, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Limits and timeouts of the whole proxy; `docs/proxy-config.md` says what each is for."""

    max_concurrent_streams: int = 100
    stream_window_bytes: int = 65_536
    max_header_bytes: int = 61_440
    max_header_fields: int = 100
    idle_timeout_s: float = 3600.0
    drain_timeout_s: float = 30.0
    max_connection_age_s: float | None = None
    upstream_user_timeout_s: float = 20.0
    dns_refresh_s: float = 5.0
    # Against abuse (docs/limits.md). Of each direction, and of one client or connection where nothing else is said.
    max_connections: int = 10_000
    max_buffered_bytes: int = 67_108_864
    rapid_reset_streams: int = 500
    detect_timeout_s: float = 1.0
    head_timeout_s: float = 10.0
    stalled_timeout_s: float = 300.0
    tcp_idle_timeout_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """All of a proxy's configuration. Every route's cluster is among the clusters, and their names are unique."""

    listen: Address
    admin: Address | None
    clusters: tuple[Cluster, ...]
    routes: tuple[Route, ...]
    settings: Settings = Settings()
