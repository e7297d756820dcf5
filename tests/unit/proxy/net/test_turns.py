"""Work on many leaves the event loop its turns."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from proxy.net.turns import SHARE_S, Turns, in_turns


async def test_others_have_their_turn_whenever_a_share_is_used_up() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    met = []
    async for one in in_turns(range(10)):
        met.append((one, turns))
        if one < 5:
            time.sleep(SHARE_S)  # noqa: ASYNC251 - the work
    other.cancel()
    # Each of the first five took a share; the others take next to nothing, unless the machine halts.
    assert [one for one, _ in met] == list(range(10))
    assert [seen for _, seen in met[:6]] == list(range(6))
    assert met[9][1] <= 9


async def test_nothing_to_do_is_done_at_once() -> None:
    assert [one async for one in in_turns(())] == []


async def test_calls_are_made_in_their_order_a_share_in_each_turn() -> None:
    turns, made, seen = Turns(), [], []

    def call(number: int) -> None:
        made.append(number)
        if number < 3:
            time.sleep(SHARE_S)

    for number in range(6):
        turns.add(partial(call, number))
    assert made == []
    while len(made) < 6:
        await asyncio.sleep(0)
        seen.append(len(made))
    assert made == list(range(6))
    assert seen[:3] == [1, 2, 3]


async def test_who_is_called_may_add_another() -> None:
    turns, made = Turns(), []
    turns.add(lambda: turns.add(lambda: made.append("later")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert made == ["later"]
    turns.add(lambda: made.append("again"))
    await asyncio.sleep(0)
    assert made == ["later", "again"]


async def test_a_bug_of_one_call_is_not_the_others(capfd: pytest.CaptureFixture[str]) -> None:
    turns, made = Turns(), []
    turns.add(lambda: 1 // 0)
    turns.add(lambda: made.append(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert made == [1]
    assert "ZeroDivisionError" in capfd.readouterr().err
