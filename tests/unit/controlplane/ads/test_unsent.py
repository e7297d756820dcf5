from __future__ import annotations

import asyncio

from controlplane.ads.unsent import Unsent


def make() -> Unsent:
    return Unsent(bytes_max=400, always_bytes=10)


async def test_an_address_with_next_to_nothing_unread_never_waits() -> None:
    unsent = make()
    for address in "abcd":
        unsent.add(address, 100)
    assert not unsent.has_room("a")
    async with asyncio.timeout(1):
        await unsent.wait("e")
    unsent.add("e", 9)
    assert unsent.has_room("e")
    unsent.add("e", 1)
    assert not unsent.has_room("e"), "all together have too much"


async def test_one_address_has_a_part() -> None:
    unsent = make()
    unsent.add("a", 100)
    assert not unsent.has_room("a")
    unsent.remove("a", 1)
    assert unsent.has_room("a")


async def test_those_who_wait_are_woken_one_after_the_other() -> None:
    unsent = make()
    unsent.add("a", 100)
    order: list[int] = []

    async def write(number: int) -> None:
        await unsent.wait("a")
        order.append(number)
        unsent.add("a", 100)
        await asyncio.sleep(0)
        unsent.remove("a", 100)

    tasks = [asyncio.create_task(write(number)) for number in range(5)]
    await asyncio.sleep(0)
    unsent.remove("a", 100)
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3, 4]
    assert (unsent.in_all, unsent._waiting) == (0, {})


async def test_the_turn_of_one_who_leaves_is_the_next_one_s() -> None:
    unsent = make()
    unsent.add("a", 100)
    leaving, waiting = (asyncio.create_task(unsent.wait("a")) for _ in range(2))
    await asyncio.sleep(0)
    unsent.remove("a", 100)
    leaving.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(leaving, waiting, return_exceptions=True)
    assert leaving.cancelled()
    assert waiting.exception() is None
