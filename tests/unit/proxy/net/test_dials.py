"""Whose turn it is to dial, where some endpoints do not answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from proxy.net.dials import MAX_DIALS, MAX_SLOW, MAX_SLOW_OF_ONE, SLOW_S, Dials


class Link:
    """Answers when it is told to, or at once."""

    def __init__(self, is_quick: bool = False) -> None:
        self.removed = False
        self.answers = asyncio.Event()
        if is_quick:
            self.answers.set()


class Dialled:
    """`begun` counts the dials of each link, `dropped` those that were not wanted any more."""

    def __init__(self) -> None:
        self.begun: Counter[Link] = Counter()
        self.dropped: Counter[Link] = Counter()
        self.dials: Dials[Link] = Dials(self._connect, self._drop)

    async def _connect(self, link: Link) -> None:
        self.begun[link] += 1
        await link.answers.wait()

    def _drop(self, link: Link) -> None:
        self.dropped[link] += 1

    def begin(self, link: Link, times: int) -> None:
        for _ in range(times):
            self.dials.begin(link)


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - a timer begins dials
            await asyncio.sleep(SLOW_S)


@pytest.fixture
async def dialled() -> AsyncIterator[Dialled]:
    made = Dialled()
    yield made
    tasks = list(made.dials.tasks)
    made.dials.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert not made.dials.tasks
    assert not made.dials.under_way


async def test_an_endpoint_that_does_not_answer_holds_up_nobody_else(dialled: Dialled) -> None:
    dead, well = Link(), Link(is_quick=True)
    dialled.begin(dead, 600)
    dialled.begin(well, 10)
    await asyncio.sleep(5 * SLOW_S)
    assert dialled.begun == {dead: MAX_SLOW_OF_ONE, well: 10}
    dialled.dials.forget(dead)
    assert dialled.dropped == {dead: 600 - MAX_SLOW_OF_ONE}
    dead.answers.set()
    await asyncio.sleep(SLOW_S)
    assert dialled.begun[dead] == MAX_SLOW_OF_ONE
    assert not dialled.dials.tasks


async def test_a_hundred_endpoints_that_do_not_answer_hold_up_nobody_else(dialled: Dialled) -> None:
    dead = [Link() for _ in range(100)]
    for link in dead:
        dialled.begin(link, MAX_SLOW_OF_ONE)
    await until(lambda: not dialled.dials.queue)
    well = [Link(is_quick=True) for _ in range(5)]
    for link in well:
        dialled.begin(link, 10)
    await until(lambda: [dialled.begun[link] for link in well] == [10] * 5)
    assert len(dialled.dials.tasks) < MAX_DIALS + MAX_SLOW
    for link in dead:
        link.answers.set()
    await until(lambda: not dialled.dials.tasks)
    assert [dialled.begun[link] for link in dead] == [MAX_SLOW_OF_ONE] * 100


async def test_those_that_answer_get_all_their_dials_a_few_at_a_time(dialled: Dialled) -> None:
    links = [Link(is_quick=True) for _ in range(5)]
    for link in links:
        dialled.begin(link, 100)
        assert len(dialled.dials.tasks) <= MAX_DIALS
    await asyncio.sleep(5 * SLOW_S)
    assert dialled.begun == dict.fromkeys(links, 100)


async def test_where_thousands_do_not_answer_one_after_the_other_is_begun(dialled: Dialled) -> None:
    links = [Link() for _ in range(2_000)]
    for link in links:
        dialled.begin(link, 1)
    await until(lambda: len(dialled.begun) == MAX_DIALS + MAX_SLOW)
    await asyncio.sleep(3 * SLOW_S)
    assert list(dialled.begun) == links[: MAX_DIALS + MAX_SLOW]
    links[0].answers.set()
    links[-1].answers.set()
    await asyncio.sleep(3 * SLOW_S)
    assert list(dialled.begun) == links[: MAX_DIALS + MAX_SLOW + 1]


async def test_one_that_was_removed_is_not_dialled(dialled: Dialled) -> None:
    links = [Link() for _ in range(MAX_DIALS + 1)]
    for link in links:
        dialled.begin(link, 2)
    links[-1].removed = True
    dialled.dials.begin(links[-1])
    for link in links:
        link.answers.set()
    await asyncio.sleep(3 * SLOW_S)
    assert dialled.dropped == {links[-1]: 3}
    assert dialled.begun == dict.fromkeys(links[:-1], 2)
