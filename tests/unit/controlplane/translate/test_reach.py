from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.graph.mesh import Target
from controlplane.translate.reach import reach, reachable
from controlplane.translate.resource import View
from tests.unit.controlplane.translate.samples import endpoint, target

HINTED = target(
    "web.shop.svc.cluster.local:80",
    endpoint("10.0.0.1", "a", ("a",)),
    endpoint("10.0.0.2", "b", ("b", "c")),
)
PARTLY_HINTED = replace(HINTED, endpoints=(*HINTED.endpoints, endpoint("10.0.0.3", "b")))
LOCAL = replace(
    target("web.shop.svc.cluster.local:80", endpoint("10.0.0.1", node="n1"), endpoint("10.0.0.2", node="n2")),
    local_only=True,
)


def hosts(item: Target, view: View) -> list[str]:
    return [found.host for found in reachable(item, *reach(item).part(view))]


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("a", ["10.0.0.1"]),
        ("b", ["10.0.0.2"]),
        ("c", ["10.0.0.2"]),
        ("elsewhere", ["10.0.0.1", "10.0.0.2"]),
        ("", ["10.0.0.1", "10.0.0.2"]),
    ],
)
def test_hints_keep_requests_in_the_zone_that_they_name(zone: str, expected: list[str]) -> None:
    assert hosts(HINTED, View(zone=zone)) == expected


def test_hints_count_only_if_every_endpoint_has_some() -> None:
    assert hosts(PARTLY_HINTED, View(zone="a")) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


@pytest.mark.parametrize(
    ("node", "expected"),
    [("n1", ["10.0.0.1"]), ("n3", []), ("", ["10.0.0.1", "10.0.0.2"])],
    ids=["own", "none", "unknown"],
)
def test_local_policy_keeps_requests_on_the_node(node: str, expected: list[str]) -> None:
    assert hosts(LOCAL, View(node=node)) == expected


def test_local_policy_knows_no_zones() -> None:
    hinted = replace(HINTED, local_only=True)
    assert hosts(hinted, View(zone="a")) == ["10.0.0.1", "10.0.0.2"]


def test_views_that_make_no_difference_share_a_part() -> None:
    parts = {reach(HINTED).part(View("envoy", "ns", zone, "n1")) for zone in ("", "x", "y", "z")}
    assert len(parts) == 1
    assert reach(LOCAL).part(View(node="n3")) == reach(LOCAL).part(View(node="n4"))


def test_no_endpoints_are_the_same_for_all() -> None:
    empty = replace(HINTED, endpoints=())
    assert hosts(empty, View(zone="a")) == []
    assert reach(empty).part(View(zone="a")) == reach(empty).part(View())
