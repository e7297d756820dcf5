"""Work on many leaves the event loop its turns."""

from __future__ import annotations

import asyncio
import time

from proxy.net.turns import SHARE_S, in_turns


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
