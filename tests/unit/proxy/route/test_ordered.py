from __future__ import annotations

from proxy.route.model import ANY_PATH, EXACT, PREFIX, REGEX, PathMatch, Route
from proxy.route.ordered import OrderedRoutes


def route(name: str, path: PathMatch = ANY_PATH, *authorities: str) -> Route:
    return Route(name, authorities or ("*",), path, "cluster")


def found(routes: OrderedRoutes, authority: bytes, path: bytes = b"/") -> str | None:
    match = routes.match(authority, path)
    return match.name if match is not None else None


def test_the_first_route_counts_whatever_is_more_specific() -> None:
    routes = OrderedRoutes(
        [
            route("regex", PathMatch(REGEX, "/a/[0-9]+")),
            route("prefix", PathMatch(PREFIX, "/a")),
            route("exact", PathMatch(EXACT, "/a/b")),
            route("late", PathMatch(EXACT, "/c")),
        ]
    )
    assert found(routes, b"x", b"/a/17?q=1") == "regex"
    assert found(routes, b"x", b"/a/b") == "prefix"
    assert found(routes, b"x", b"/c?") == "late"
    assert found(routes, b"x", b"/d") is None


def test_one_virtual_host_is_chosen_and_no_other_helps_out() -> None:
    only = PathMatch(EXACT, "/only")
    routes = OrderedRoutes(
        [
            route("any"),
            route("suffix", ANY_PATH, "*.example.com"),
            route("longer", ANY_PATH, "*.b.example.com:80"),
            route("host", only, "a.b.example.com"),
            route("port", only, "a.b.example.com:8080"),
        ]
    )
    assert found(routes, b"other") == "any"
    assert found(routes, b"x.example.com") == "suffix"
    assert found(routes, b"x.b.example.com:80") == "longer"
    assert found(routes, b"x.b.example.com:81") == "suffix"
    assert found(routes, b"A.b.Example.com.", b"/only") == "host"
    assert found(routes, b"a.b.example.com:8080", b"/only") == "port"
    assert found(routes, b"a.b.example.com", b"/") is None
    assert found(routes, b"example.com") == "any"


def test_an_authority_of_any_length_takes_linear_time() -> None:
    routes = OrderedRoutes([route("any"), route("suffix", ANY_PATH, "*.example.com")])
    assert found(routes, b"." * 60_000) == "any"
    assert found(routes, b"a." * 100 + b"example.com") == "suffix"


def test_without_routes_nothing_matches() -> None:
    assert found(OrderedRoutes([]), b"x") is None
