from __future__ import annotations

from typing import Any

import pytest

from proxy.route.assignment import read_endpoints
from proxy.route.message import XdsError
from proxy.route.model import Endpoint, Workload
from tests.unit.proxy.route.assignments import assignment, item, locality, metadata


def weights(*localities: dict[str, Any]) -> dict[str, int]:
    return {endpoint.host: endpoint.weight for endpoint in read_endpoints(assignment(*localities))}


def test_all_are_equal_where_localities_weigh_as_many_as_they_have() -> None:
    found = weights(locality(item("10.0.0.1")), locality(item("10.0.0.2"), item("10.0.0.3"), item("10.0.0.4")))
    assert found == {f"10.0.0.{number}": 1 for number in range(1, 5)}


def test_a_locality_divides_its_weight_among_its_own() -> None:
    found = weights(locality(item("10.0.0.1"), weight=3), locality(item("10.0.0.2"), item("10.0.0.3"), weight=3))
    assert found == {"10.0.0.1": 2, "10.0.0.2": 1, "10.0.0.3": 1}


def test_endpoints_have_weights_of_their_own() -> None:
    assert weights(locality(item("10.0.0.1", weight=1), item("10.0.0.2", weight=4))) == {"10.0.0.1": 1, "10.0.0.2": 4}


def test_without_any_weight_of_a_locality_those_of_endpoints_count() -> None:
    found = weights(locality(item("10.0.0.1", weight=2), weight=None), locality(item("10.0.0.2"), weight=None))
    assert found == {"10.0.0.1": 2, "10.0.0.2": 1}


def test_a_locality_without_weight_gets_nothing_beside_others() -> None:
    assert weights(locality(item("10.0.0.1"), weight=None), locality(item("10.0.0.2"))) == {"10.0.0.2": 1}


def test_the_share_of_the_unhealthy_goes_to_no_one_in_particular() -> None:
    found = weights(locality(item("10.0.0.1"), item("10.0.0.2", health_status="UNHEALTHY")), locality(item("10.0.0.3")))
    assert found == {"10.0.0.1": 1, "10.0.0.3": 1}


@pytest.mark.parametrize("status", ["UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"])
def test_only_the_healthy_are_used(status: str) -> None:
    found = weights(locality(item("10.0.0.1", health_status=status), item("10.0.0.2", health_status="HEALTHY")))
    assert list(found) == ["10.0.0.2"]


def test_the_first_priority_that_has_endpoints_is_used() -> None:
    first = locality(item("10.0.0.1", health_status="DRAINING"))
    assert list(weights(first, locality(item("10.0.0.3"), priority=2), locality(item("10.0.0.2"), priority=1))) == [
        "10.0.0.2"
    ]


def test_no_endpoint_is_an_answer_too() -> None:
    assert weights() == {}
    assert weights(locality(weight=1)) == {}


def test_an_address_that_comes_twice_is_one_endpoint() -> None:
    same = locality(item("::1"), item("0:0:0:0:0:0:0:1"), item("::2"), item("::1", 81))
    assert [(found.host, found.port, found.weight) for found in read_endpoints(assignment(same))] == [
        ("::1", 80, 2),
        ("::2", 80, 1),
        ("::1", 81, 1),
    ]


def test_who_runs_there() -> None:
    who = metadata(namespace="shop", kind="deployment", workload="web", service_account="w", meshed=True)
    body = assignment(
        locality(item("10.0.0.1", metadata=metadata(pod="web-1")), item("10.0.0.2"), metadata=who),
        locality(item("10.0.0.3", metadata=metadata(pod=7))),
    )
    web = Workload("shop", "deployment", "web", "w")
    first, second, third = read_endpoints(body)
    assert first == Endpoint("10.0.0.1", 80, 1, "web-1", web)
    assert second == Endpoint("10.0.0.2", 80, 1, "", web)
    assert first.workload is second.workload
    assert third == Endpoint("10.0.0.3", 80)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (assignment(locality(item("web.example"))), "'web.example' is no IP address"),
        (assignment(locality(item("fe80::1%eth0"))), "is no IP address"),
        (assignment(locality(item(""))), "'' is no address"),
        (assignment(locality(item("10.0.0.1", 0))), "needs a TCP port"),
        (assignment(locality(item("10.0.0.1", 65_536))), "needs a TCP port"),
        (assignment(locality(item("10.0.0.1", weight=0))), "must be above 0"),
        (assignment(locality({"endpoint": {"address": {"pipe": {"path": "/x"}}}})), "(pipe)"),
        (assignment(locality({"endpoint_name": "x"})), "without any address"),
        (assignment(locality(leds_cluster_locality_config={})), "LEDS"),
        (assignment(policy={"drop_overloads": [{"category": "x"}]}), "drop_overloads is not supported"),
        (b"\xff", "the bytes are no ClusterLoadAssignment"),
    ],
)
def test_assignments_that_are_refused(body: bytes, problem: str) -> None:
    with pytest.raises(XdsError, match=problem):
        read_endpoints(body)


def test_five_hundred_endpoints() -> None:
    half = [item(f"10.0.{number // 250}.{number % 250}", metadata=metadata(pod=f"p{number}")) for number in range(500)]
    found = read_endpoints(assignment(locality(*half[:200]), locality(*half[200:])))
    assert len({endpoint.host for endpoint in found}) == 500
    assert {endpoint.weight for endpoint in found} == {1}
