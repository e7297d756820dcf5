"""Who goes where there are too many, and that a newcomer has a moment to ask."""

from __future__ import annotations

from proxy.admin.guests import ANSWERED, ASKING, MAX_GUESTS, MAX_STORM, MOMENT_S, SILENT, Guests


class Guest:
    """A connection that is but a number, and notes that it had to go."""

    def __init__(self, gone: list[int], number: int) -> None:
        self.gone = gone
        self.number = number

    def abort(self) -> None:
        self.gone.append(self.number)


class Door:
    """Lets guests in, one after the other."""

    def __init__(self) -> None:
        self.guests: Guests[Guest] = Guests()
        self.gone: list[int] = []
        self.all: list[Guest] = []

    def admit(self, count: int, now: float, after_s: float = 0.0) -> None:
        for _ in range(count):
            self.all.append(Guest(self.gone, len(self.all)))
            self.guests.admit(self.all[-1], now)
            now += after_s


async def test_who_has_just_come_stays() -> None:
    door = Door()
    door.admit(2 * MAX_GUESTS, now=100.0)
    assert (door.gone, door.guests.count()) == ([], 2 * MAX_GUESTS)
    door.admit(1, now=100.0 + 2 * MOMENT_S)
    assert door.gone == list(range(MAX_GUESTS + 1))
    assert door.guests.count() == MAX_GUESTS


async def test_who_asks_within_a_moment_is_heard_in_a_storm() -> None:
    """7,000 connects a second: more than a moment's worth would ever be there at once, so nobody goes too early."""
    door = Door()
    step_s = MOMENT_S / (MAX_STORM - 1)
    door.admit(10 * MAX_STORM, now=100.0, after_s=step_s)
    assert len(door.gone) >= 9 * MAX_STORM
    assert door.guests.count() <= MAX_STORM


async def test_there_is_an_end_to_it() -> None:
    door = Door()
    door.admit(3 * MAX_STORM, now=100.0)
    assert door.guests.count() == MAX_STORM
    assert door.gone == list(range(2 * MAX_STORM))


async def test_who_would_lose_least_goes_first() -> None:
    door = Door()
    door.admit(MAX_GUESTS, now=100.0)
    asking, answered, *_ = door.all
    door.guests.move(asking, SILENT, ASKING)
    door.guests.move(answered, SILENT, ASKING)
    door.guests.move(answered, ASKING, ANSWERED)
    for one in door.all[2:]:
        door.guests.move(one, SILENT, ASKING)
    door.admit(1, now=200.0)
    assert door.gone == [1]
    door.admit(1, now=300.0)
    assert door.gone == [1, MAX_GUESTS]
    door.guests.move(door.all[MAX_GUESTS + 1], SILENT, ASKING)
    door.admit(1, now=400.0)
    assert door.gone == [1, MAX_GUESTS, 0]


async def test_who_had_to_go_is_not_taken_in_again_by_what_he_does() -> None:
    door = Door()
    door.admit(1, now=100.0)
    assert not door.guests.is_empty.is_set()
    door.guests.forget(door.all[0])
    door.guests.move(door.all[0], SILENT, ASKING)
    assert door.guests.all() == []
    assert door.guests.is_empty.is_set()
