from __future__ import annotations

import pytest

from benchmarks.scale.plan import FULL, LARGE, QUICK, Plan, canonical, count_followers, make_seats, make_services
from benchmarks.scale.plan import pod_address as address_of


@pytest.mark.parametrize("plan", [FULL, QUICK])
def test_the_services_share_all_endpoints(plan: Plan) -> None:
    services = make_services(plan)
    assert len(services) == plan.services
    assert sum(service.endpoints for service in services) == plan.endpoints
    assert [service.endpoints for service in services].count(LARGE) == plan.large_services
    assert min(service.endpoints for service in services) > 1  # one of them can be taken out


@pytest.mark.parametrize("plan", [FULL, QUICK])
def test_each_pod_belongs_to_one_service_and_has_its_own_address(plan: Plan) -> None:
    numbers = [
        number
        for service in make_services(plan)
        for number in range(service.first_pod, service.first_pod + service.endpoints)
    ]
    assert numbers == list(range(plan.endpoints))
    assert len({address_of(number) for number in range(plan.endpoints + 4 * plan.replicas)}) == (
        plan.endpoints + 4 * plan.replicas
    )


@pytest.mark.parametrize("plan", [FULL, QUICK])
def test_all_sidecars_follow_the_popular_services_and_few_any_other(plan: Plan) -> None:
    services = make_services(plan)
    seats = make_seats(plan, services)
    followers = count_followers(seats)
    assert {len(set(seat.aliases)) for seat in seats} == {plan.follows}
    popular = services[: plan.popular_services]
    assert [followers[service.canonical] for service in popular] == [plan.sidecars] * plan.popular_services
    assert {service.endpoints for service in popular} == {LARGE}
    others = [followers.get(service.canonical, 0) for service in services[plan.popular_services :]]
    assert max(others) - min(others) <= 1


@pytest.mark.parametrize("plan", [FULL, QUICK])
def test_no_service_comes_to_a_state_twice_in_a_scenario(plan: Plan) -> None:
    changes = max(plan.popular_changes, plan.stalled_changes, plan.profile_changes)
    assert -(-changes // plan.popular_services) < LARGE
    assert plan.few_changes <= plan.services - plan.popular_services


def test_pods_are_somewhere() -> None:
    seats = make_seats(FULL, make_services(FULL))
    assert len({(seat.namespace, seat.node) for seat in seats}) == FULL.sidecars
    assert len({seat.zone for seat in seats}) == FULL.zones
    assert {len({seat.zone for seat in seats if seat.node == node}) for node in {seat.node for seat in seats}} == {1}


def test_the_canonical_name() -> None:
    assert canonical("service-0001.team-01:80") == "service-0001.team-01.svc.cluster.local:80"
