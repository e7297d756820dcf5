"""Routing: the best of all that match, as a naive search over all of them finds it."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.route.match import MAX_REMEMBERED, Router, split_authority
from proxy.route.model import ANY_PATH, EXACT, PREFIX, REGEX, Address, Cluster, Endpoint, PathMatch, ProxyConfig, Route

CLUSTER = Cluster("c", (Endpoint("127.0.0.1", 1),))


def make_router(*routes: Route) -> Router:
    return Router(ProxyConfig(Address("127.0.0.1", 0), None, (CLUSTER,), routes))


def route(name: str, *authorities: str, path: PathMatch = ANY_PATH) -> Route:
    return Route(name, authorities or ("*",), path, "c")


def find(router: Router, authority: bytes, path: bytes = b"/") -> str | None:
    found = router.match(authority, path)
    return found.name if found else None


def test_authorities_from_the_most_specific_down() -> None:
    router = make_router(
        route("any"),
        route("wide", "*.example"),
        route("narrow", "*.emoji.example"),
        route("narrow-port", "*.emoji.example:81"),
        route("host", "web.emoji.example"),
        route("host-port", "web.emoji.example:80"),
    )
    assert find(router, b"web.emoji.example:80") == "host-port"
    assert find(router, b"web.emoji.example:81") == "host"
    assert find(router, b"web.emoji.example") == "host"
    assert find(router, b"a.emoji.example:81") == "narrow-port"
    assert find(router, b"a.b.emoji.example") == "narrow"
    assert find(router, b"emoji.example") == "wide"
    assert find(router, b"example") == "any"
    assert find(router, b".example") == "any"


@pytest.mark.parametrize(
    "authority", [b"WEB.Example", b"web.example.", b"web.example:8080", b"web.example:", b"Web.Example.:1"]
)
def test_spellings_of_a_host(authority: bytes) -> None:
    assert find(make_router(route("web", "web.example")), authority) == "web"


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        (b"[::1]:80", b"[::1]", b":80"),
        (b"[::1]", b"[::1]", b""),
        (b"::1", b"::1", b""),
        (b"a:b", b"a:b", b""),
        (b"a:123456", b"a:123456", b""),
        (b"", b"", b""),
        (b"\xff:1", b"\xff", b":1"),
    ],
)
def test_splitting_an_authority(authority: bytes, host: bytes, port: bytes) -> None:
    assert split_authority(authority) == (host, port)


def test_paths_from_the_most_specific_down() -> None:
    router = make_router(
        route("pattern", path=PathMatch(REGEX, "/x.*")),
        route("later-pattern", path=PathMatch(REGEX, "/x/.*")),
        route("short", path=PathMatch(PREFIX, "/a")),
        route("long", path=PathMatch(PREFIX, "/a/b")),
        route("exact", path=PathMatch(EXACT, "/a/b/c")),
    )
    assert find(router, b"any", b"/a/b/c") == "exact"
    assert find(router, b"any", b"/a/b/c?q=1") == "exact"
    assert find(router, b"any", b"/a/b/cc") == "long"
    assert find(router, b"any", b"/a/bb") == "long"
    assert find(router, b"any", b"/aa") == "short"
    assert find(router, b"any", b"/x/y") == "pattern"
    assert find(router, b"any", b"/y") is None
    assert find(router, b"any", b"") is None


def test_a_host_without_a_fitting_path_falls_through() -> None:
    router = make_router(route("web", "web", path=PathMatch(PREFIX, "/a")), route("rest"))
    assert find(router, b"web", b"/a") == "web"
    assert find(router, b"web", b"/b") == "rest"


def test_no_route() -> None:
    assert find(make_router(route("web", "web")), b"emoji") is None
    assert find(make_router(), b"emoji") is None


def test_hostile_authorities_are_looked_up_in_linear_time() -> None:
    router = make_router(route("any"), route("wide", "*.example"))
    assert find(router, b"." * 60_000) == "any"
    assert find(router, b"a." * 30_000 + b"example") == "any"
    assert find(router, b":" * 60_000) == "any"
    assert find(router, b"[" * 60_000 + b"]:1") == "any"


def test_what_is_remembered_is_bounded() -> None:
    router = make_router(route("any"))
    for number in range(5000):
        assert find(router, b"host%d" % number, b"/" + b"x" * (number % 600)) == "any"
    assert len(router._remembered) <= MAX_REMEMBERED


HOSTS = ["a", "b.a", "c.b.a", "x", "[::1]"]
authorities = st.one_of(
    st.just("*"),
    st.sampled_from([*HOSTS, "*.a", "*.b.a", "a:1", "b.a:1", "*.a:1", "[::1]:2"]),
)
paths = st.one_of(
    st.builds(PathMatch, st.just(EXACT), st.sampled_from(["/", "/a", "/a/b"])),
    st.builds(PathMatch, st.just(PREFIX), st.sampled_from(["", "/", "/a", "/a/"])),
    st.builds(PathMatch, st.just(REGEX), st.sampled_from(["/.*", "/a+", ".*b"])),
)
tables = st.lists(st.tuples(st.lists(authorities, min_size=1, max_size=2), paths), max_size=6)


def naive_authority_rank(pattern: str, authority: str) -> tuple[int, int] | None:
    """Rank a pattern that matches the authority, lowest best; None if it does not match."""
    host, _, port = authority.rpartition(":") if re.fullmatch(r".*:\d+", authority) else (authority, "", "")
    if pattern == "*":
        return (2, 0)
    name, _, wanted = pattern.rpartition(":") if re.fullmatch(r".*:\d+", pattern) else (pattern, "", "")
    if wanted and wanted != port:
        return None
    loose = 0 if wanted else 1
    if name.startswith("*."):
        fits = host.endswith(name[1:]) and len(host) > len(name) - 1
        return (1, -len(name) * 2 + loose) if fits else None
    return (0, loose) if name == host else None


def naive_path_rank(match: PathMatch, path: str, index: int) -> tuple[int, int] | None:
    path = path.split("?")[0]
    if match.kind == EXACT:
        return (0, 0) if path == match.value else None
    if match.kind == PREFIX:
        return (1, -len(match.value)) if path.startswith(match.value) else None
    return (2, index) if re.fullmatch(match.value, path) else None


def naive_match(routes: list[Route], authority: str, path: str) -> str | None:
    ranked = []
    for index, candidate in enumerate(routes):
        path_rank = naive_path_rank(candidate.path, path, index)
        for pattern in candidate.authorities:
            authority_rank = naive_authority_rank(pattern, authority.lower())
            if authority_rank is not None and path_rank is not None:
                ranked.append((authority_rank, path_rank, index, candidate.name))
    return min(ranked)[3] if ranked else None


@settings(deadline=None)
@given(
    tables,
    st.sampled_from([*HOSTS, "A", "B.a", "d.c.b.a", ".a", ""]),
    st.sampled_from(["", ":1", ":2"]),
    st.sampled_from(["/", "/a", "/aa", "/a/b", "/a?x", "", "/b", "*"]),
)
def test_it_finds_what_a_naive_search_finds(
    table: list[tuple[list[str], PathMatch]], host: str, port: str, path: str
) -> None:
    routes = [Route(f"r{index}", tuple(names), match, "c") for index, (names, match) in enumerate(table)]
    router = make_router(*routes)
    expected = naive_match(routes, host + port, path)
    assert find(router, (host + port).encode(), path.encode()) == expected
    assert find(router, (host + port).encode(), path.encode()) == expected  # remembered


@settings(deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40))
def test_any_bytes_are_looked_up(authority: bytes, path: bytes) -> None:
    router = make_router(route("any"), route("host", "a", "*.a"), route("p", "a", path=PathMatch(REGEX, "/.*")))
    assert find(router, authority, path) in ("any", "host", "p")
