"""Work on many leaves the event loop its turns."""

from __future__ import annotations

import asyncio

from proxy.net.turns import in_turns


async def test_others_have_their_turn_after_every_few() -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count_turns())
    met = []
    async for one in in_turns(range(1_000)):
        met.append((one, turns))
    other.cancel()
    assert [one for one, _ in met] == list(range(1_000))
    assert met[63][1] == 0
    assert met[64][1] == 1
    assert met[999][1] == 15


async def test_nothing_to_do_is_done_at_once() -> None:
    assert [one async for one in in_turns(())] == []
