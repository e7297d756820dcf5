"""Names are looked up beside each other, and answers to what is no longer wanted are dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from proxy.net import names as module
from proxy.net.names import Names

Answer = tuple[str, ...]


class Resolver:
    """Answers when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: dict[str, asyncio.Future[Answer]] = {}
        self.question = asyncio.Event()
        monkeypatch.setattr(module, "resolve", self.resolve)

    async def resolve(self, name: str) -> Answer:
        future = self.asked[name] = asyncio.get_running_loop().create_future()
        self.question.set()
        return await future

    async def answer(self, name: str, *addresses: str) -> None:
        self.question.clear()
        self.asked.pop(name).set_result(addresses)
        await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(changed: Callable[[], None]) -> AsyncIterator[Names]:
    names = Names(changed)
    task = asyncio.create_task(names.refresh())
    try:
        yield names
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_slow_name_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, changes = Resolver(monkeypatch), []
    async with running(lambda: changes.append(1)) as names:
        names.want({"slow", "quick", "10.0.0.1"}, 60.0)
        await settle()
        await resolver.answer("quick", "10.0.0.2")
        assert names.addresses("quick") == ("10.0.0.2",)
        assert names.addresses("slow") is None
        assert names.addresses("10.0.0.1") == ("10.0.0.1",)
        assert not names.all_answered()
        await resolver.answer("slow")
        assert names.addresses("slow") == ()
        assert names.all_answered()
        assert len(changes) == 2


async def test_a_late_answer_to_what_is_no_longer_wanted_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, changes = Resolver(monkeypatch), []
    async with running(lambda: changes.append(1)) as names:
        names.want({"old"}, 60.0)
        await settle()
        names.want({"new"}, 60.0)
        await settle()
        await resolver.answer("old", "10.0.0.1")
        assert (names.resolved, changes) == ({}, [])
        await resolver.answer("new", "10.0.0.2")
        assert names.resolved == {"new": ("10.0.0.2",)}


async def test_a_name_that_fails_keeps_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, changes = Resolver(monkeypatch), []
    async with running(lambda: changes.append(1)) as names:
        names.want({"name"}, 0.001)
        await settle()
        for addresses in (("10.0.0.1",), (), ("10.0.0.2",)):
            await asyncio.wait_for(resolver.question.wait(), 20)
            before = names.resolved.get("name")
            await resolver.answer("name", *addresses)
            assert names.addresses("name") == (addresses or before)
        assert len(changes) == 2
