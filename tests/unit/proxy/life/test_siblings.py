"""Workers that tell each other of the end: over their real sockets, in one loop instead of several processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.life import Door, Drain, Life, Siblings, Worker, drain, siblings
from proxy.life.course import SERVING

LONG_S = 1000.0


async def end_at_once(_timeout_s: float) -> bool:
    return True


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_TICK_S", 0.002)
    monkeypatch.setattr(drain, "INSIST_S", 0.0)
    monkeypatch.setattr(siblings, "_PATIENCE_S", 20.0)


@asynccontextmanager
async def crew(*delays_s: float) -> AsyncIterator[list[Worker]]:
    """A worker for each delay, which is what its drain takes."""
    shared = Siblings(len(delays_s))
    workers, running = [], []
    for index, delay_s in enumerate(delays_s):
        one = Drain([Door("inbound", True, int, end_at_once)], Life(delay_s), lambda: LONG_S, lambda _line: None)
        running.append(asyncio.create_task(one.run()))
        workers.append(Worker(shared, index, one))
        workers[-1].listen()
    await asyncio.sleep(0)
    try:
        yield workers
    finally:
        for worker in workers:
            worker.drain.stop()
            worker.drain.stop()
        await asyncio.gather(*running)
        for sock in (*shared.ears, *shared.mouths):
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()


async def test_who_leaves_waits_for_all() -> None:
    async with crew(0.0, 0.05, 0.0) as workers:
        assert await workers[0].leave() == "drained: inbound"
        assert all(worker.drain.doors[0].told.is_set() for worker in workers)
        assert await workers[2].leave() == "drained: inbound"


async def test_one_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(siblings, "_PATIENCE_S", 0.01)
    async with crew(0.0, LONG_S, 0.0) as workers:
        assert await workers[0].leave() == "drained: inbound; some workers have not answered"


async def test_all_shut_down_together() -> None:
    async with crew(LONG_S, LONG_S) as workers:
        workers[1].shut_down()
        async with asyncio.timeout(20):
            while any(worker.drain.doors[0].course.phase == SERVING for worker in workers):  # noqa: ASYNC110
                await asyncio.sleep(0.001)


async def test_one_alone_asks_nobody() -> None:
    async with crew(0.0) as (worker,):
        assert worker.siblings.mouths == []
        assert await worker.leave() == "drained: inbound"
        worker.shut_down()
        assert worker.drain._stopped.is_set()
