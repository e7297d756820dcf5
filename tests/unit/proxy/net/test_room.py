"""Who may come and who must go where there are too many, of several kinds; and for whom too much waits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import monotonic

import pytest

from proxy.metrics.registry import Registry
from proxy.net.descriptors import raise_descriptors
from proxy.net.relief import HOLDS_TOO_MUCH, relieve
from proxy.net.room import MAX_CONNECTIONS, TOO_MANY, Idle, Room
from proxy.outbound import OutboundTally
from proxy.relay.relay import Tally


class Crowd:
    """A kind of connections that are but names: who is idle, and what is held for whom."""

    def __init__(self, weight: int = 1) -> None:
        self.weight = weight
        self.names: dict[str, tuple[bool, float] | None] = {}
        self.held: dict[str, int] = {}
        self.looks = 0
        self.expected = 0

    def count(self) -> int:
        return len(self.names)

    def count_descriptors(self) -> int:
        return self.weight * len(self.names)

    def count_expected(self) -> int:
        return self.expected

    def find_idle(self) -> Iterator[Idle | None]:
        for name, idle in list(self.names.items()):
            self.looks += 1
            end = partial(self.names.pop, name)
            yield Idle(*idle, end) if idle is not None and name in self.names else None

    def find_held(self) -> Iterator[tuple[int, str]]:
        for name, size in self.held.items():
            yield size, name

    def end_held(self, one: str, tally: Tally) -> None:
        tally.protocol_fault("downstream", HOLDS_TOO_MUCH)
        del self.held[one]


class Hall:
    """A room for two kinds, and what is counted of them."""

    def __init__(self, limit: int) -> None:
        self.registry = Registry()
        self.room = Room(OutboundTally(self.registry))
        self.light, self.heavy = Crowd(), Crowd(2)
        for crowd in (self.light, self.heavy):
            self.room.join(crowd)
        self.room.max_descriptors = limit

    def count_faults(self, reason: str) -> int:
        labels = ("side", "downstream"), ("reason", reason)
        return int(dict(self.registry.protocol_faults.samples()).get(labels, 0))


@pytest.fixture
def hall() -> Hall:
    return Hall(100)


def test_there_is_room_for_all_kinds_together(hall: Hall) -> None:
    hall.light.names = {f"light {number}": None for number in range(39)}
    hall.heavy.names = {f"heavy {number}": None for number in range(30)}
    assert hall.room.admit()
    hall.light.names["one more"] = None
    assert not hall.room.admit()
    assert hall.count_faults(TOO_MANY) == 1


def test_connections_are_bounded_as_well(hall: Hall) -> None:
    hall.room.max_connections = 10
    hall.light.names = {str(number): None for number in range(10)}
    assert not hall.room.admit()


def test_half_of_what_is_left_may_wait_and_always_some(hall: Hall) -> None:
    hall.room.max_descriptors = 1_000
    assert hall.room.count_places() == 500
    hall.heavy.names = {str(number): None for number in range(200)}
    assert hall.room.count_places() == 300
    hall.light.names = {str(number): None for number in range(700)}
    assert hall.room.count_places() == 125
    hall.heavy.expected = 200
    assert hall.room.count_places() == 125
    hall.light.names = {str(number): None for number in range(500)}
    assert hall.room.count_places() == 150
    hall.heavy.expected = 0
    hall.room.max_connections = 1_400
    hall.room.max_descriptors = 20_000
    hall.light.names.clear()
    assert hall.room.count_places() == 2_500
    hall.room.max_descriptors = 4_000
    assert hall.room.count_places() == 600


def test_who_never_asked_goes_first_then_who_is_idle_for_longest(hall: Hall) -> None:
    now = monotonic()
    hall.light.names = {
        "used long ago": (True, now - 3_000),
        "used of late": (True, now - 1),
        "used some time ago": (True, now - 300),
        "busy": None,
        **{f"busy {number}": None for number in range(92)},
    }
    hall.heavy.names = {"mute": (False, now - 30), "new and mute": (False, now)}
    assert hall.room.admit()
    # Four at once, if so many could go.
    gone = {"mute", "new and mute", "used long ago", "used some time ago"}
    assert not gone & {*hall.light.names, *hall.heavy.names}
    assert {"used of late", "busy"} <= set(hall.light.names)
    assert hall.count_faults(TOO_MANY) == 4


def test_whoever_is_new_has_a_place_however_many_there_are_too_many(hall: Hall) -> None:
    """And each makes them fewer."""
    hall.heavy.names = {str(number): (False, float(number)) for number in range(100)}
    for newcomer in range(20):
        assert hall.room.admit()
        hall.light.names[f"new {newcomer}"] = None
    assert hall.light.count_descriptors() + hall.heavy.count_descriptors() <= 100
    assert list(hall.heavy.names)[-1] == "99"


def test_no_more_than_some_are_looked_at_and_all_in_turn(hall: Hall) -> None:
    hall.room.max_descriptors = 1_280
    hall.light.names = {str(number): None for number in range(1_280)}
    for number in (600, 1_279):
        hall.light.names[str(number)] = (False, 0.0)
    gone = 0
    for look in range(1, 11):
        hall.room.rests_until_s = 0.0
        gone += hall.room.admit()
        assert hall.light.looks == 128 * look
        hall.light.names |= {f"new {number}": None for number in range(1_280 - hall.light.count())}
    assert gone == 2


async def test_those_that_are_gone_are_not_held(hall: Hall) -> None:
    """By what is left to be looked at."""
    hall.light.names = {str(number): None for number in range(600)}
    hall.room.max_descriptors = 600
    assert not hall.room.admit()
    assert len(list(hall.room.walk)) == 600 - 128
    hall.room.rests_until_s = 0.0
    assert not hall.room.admit()
    hall.light.names.clear()
    await hall.room.relieve()
    assert list(hall.room.walk) == []


def test_where_nobody_can_go_nobody_is_looked_for_again_at_once(hall: Hall) -> None:
    hall.light.names = {str(number): None for number in range(100)}
    assert not hall.room.admit()
    hall.light.names["0"] = (False, 0.0)
    assert not hall.room.admit()
    hall.room.rests_until_s = 0.0
    assert hall.room.admit()


def test_two_directions_share_the_descriptors() -> None:
    tally = OutboundTally(Registry())
    alone, shared = Room(tally), Room(tally)
    alone.measure()
    shared.measure(2)
    limit = raise_descriptors()
    assert alone.max_descriptors == min(2 * MAX_CONNECTIONS, int(limit * 0.75))
    assert shared.max_descriptors == min(2 * MAX_CONNECTIONS, int(limit * 0.375))
    shared.measure()
    assert shared.max_descriptors == min(2 * MAX_CONNECTIONS, int(limit * 0.375))


async def test_those_for_whom_most_waits_go_until_the_rest_is_within_the_budget(hall: Hall) -> None:
    hall.light.held = {"a little": 10, "much": 500}
    hall.heavy.held = {"most": 700, "some": 200}
    kinds = hall.room.kinds
    await relieve(kinds, hall.room.tally, 1_410)
    assert hall.count_faults(HOLDS_TOO_MUCH) == 0
    await relieve(kinds, hall.room.tally, 710)
    assert (hall.light.held, hall.heavy.held) == ({"a little": 10, "much": 500}, {"some": 200})
    await relieve(kinds, hall.room.tally, 300)
    assert (hall.light.held, hall.heavy.held) == ({"a little": 10}, {"some": 200})
    assert hall.count_faults(HOLDS_TOO_MUCH) == 2
