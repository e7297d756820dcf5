from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scale.timeline import (
    Change,
    Timeline,
    find_appearance,
    find_disappearance,
    settle,
    settle_all,
)

STATES = [frozenset({str(number)}) for number in range(4)]


def make_timeline(states: Sequence[frozenset[str]], sidecars: int) -> Timeline:
    """All have the first state."""
    timeline = Timeline()
    for number, addresses in enumerate(states):
        timeline.add(f"v{number}", addresses, float(number))
    for sidecar in range(sidecars):
        timeline.reach(sidecar, "v0", 0.0)
    return timeline


def make_change(place: int, service: str = "a") -> Change:
    return Change(service, STATES[place], place - 0.5, place - 0.2, place - 0.3)


def test_a_state_has_arrived_when_the_last_sidecar_has_it() -> None:
    timeline = make_timeline(STATES[:2], 2)
    timeline.reach(0, "v1", 5.0)
    (missing,) = settle([make_change(1)], timeline.steps, 2)
    assert missing.last_s is None
    timeline.reach(1, "v1", 7.0)
    (arrival,) = settle([make_change(1)], timeline.steps, 2)
    assert arrival.last_s == 7.0
    assert arrival.lag_s("sent_s") == 6.5


def test_who_has_a_later_state_has_passed_the_skipped_one() -> None:
    timeline = make_timeline(STATES[:3], 2)
    timeline.reach(0, "v1", 5.0)
    timeline.reach(0, "v2", 6.0)
    timeline.reach(1, "v2", 9.0)
    found = settle([make_change(1), make_change(2)], timeline.steps, 2)
    assert [arrival.last_s for arrival in found] == [9.0, 9.0]


def test_a_state_that_nobody_saw_arrives_with_the_next() -> None:
    timeline = make_timeline([STATES[0], STATES[2]], 1)
    timeline.reach(0, "v1", 4.0)
    found = settle([make_change(1), make_change(2), make_change(3)], timeline.steps, 1)
    assert [arrival.last_s for arrival in found] == [4.0, 4.0, None]


def test_the_first_state_that_fulfils_a_change_counts() -> None:
    timeline = make_timeline(STATES[:3], 1)
    timeline.reach(0, "v1", 4.0)
    timeline.reach(0, "v2", 8.0)
    found = settle([make_change(1), make_change(2)], timeline.steps, 1)
    assert [arrival.last_s for arrival in found] == [4.0, 8.0]


def test_going_back_is_counted_and_moves_nobody() -> None:
    timeline = make_timeline(STATES[:2], 1)
    timeline.reach(0, "v1", 3.0)
    timeline.reach(0, "v0", 4.0)
    assert timeline.returns == 1
    assert [step.last_s for step in timeline.steps] == [0.0, 3.0]


def test_each_service_has_its_own_followers() -> None:
    few, many = make_timeline(STATES[:2], 1), make_timeline(STATES[:2], 2)
    few.reach(0, "v1", 3.0)
    many.reach(0, "v1", 3.0)
    found = settle_all(
        [make_change(1, "few"), make_change(1, "many")],
        {"few": few.steps, "many": many.steps},
        {"few": 1, "many": 2},
    )
    assert {arrival.change.service: arrival.last_s for arrival in found} == {"few": 3.0, "many": None}


def test_an_address_comes_and_goes() -> None:
    states = [frozenset("a"), frozenset("ab"), frozenset("b"), frozenset("c")]
    steps = make_timeline(states, 1).steps
    assert find_appearance(steps, "b") is steps[1]
    assert find_disappearance(steps, "a") is steps[2]
    assert find_disappearance(steps, "b") is steps[3]
    assert find_disappearance(steps, "c") is None
    assert find_disappearance(steps, "d") is None
    assert find_appearance(steps, "a") is steps[1]  # the start does not count
