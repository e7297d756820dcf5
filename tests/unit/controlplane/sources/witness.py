"""Whoever runs a source in a test, and what it comes to know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from controlplane.model.snapshot import Change, Relist, Snapshot
from controlplane.sources.source import Source


class State:
    """What a control plane would know."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.batches: list[Sequence[Change | Relist]] = []
        self.fault: Exception | None = None

    def take(self, batch: Sequence[Change | Relist]) -> None:
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.batches.append(batch)
        self.snapshot, _ = self.snapshot.after(batch)

    def services(self) -> set[str]:
        return {name for _, name in self.snapshot.services}


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not check():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(source: Source, state: State) -> AsyncIterator[None]:
    task = asyncio.create_task(source.run(state.take))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
