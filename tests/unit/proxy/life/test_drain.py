"""The end of two directions: which one is told when, and what waits for what. Times are short, and none is measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.life import Door, Drain, Life, drain
from proxy.life.course import DRAINING, ENDED, LINGERING, SERVING

LONG_S = 1000.0


class Scene:
    """An inbound and an outbound door. `story` is what was done to them."""

    def __init__(self, life: Life, timeout_s: float = LONG_S) -> None:
        self.story: list[str] = []
        self.open = {"inbound": 1, "outbound": 1}
        self.doors = {name: self.make_door(name) for name in self.open}
        self.drain = Drain(list(self.doors.values()), life, lambda: timeout_s, lambda _line: None)
        self.running: asyncio.Task[bool] | None = None

    def make_door(self, name: str) -> Door:
        async def end(timeout_s: float) -> bool:
            self.story.append(f"{name} drains in {timeout_s:g}")
            while self.open[name]:  # noqa: ASYNC110 - the test sets it
                await asyncio.sleep(0)
            self.story.append(f"{name} ended")
            return True

        return Door(name, name == "inbound", lambda: self.open[name], end)

    def phase(self, name: str) -> int:
        return self.doors[name].course.phase

    def insist(self) -> None:
        self.drain.stop()
        self.drain.stop()

    async def reach(self, name: str, phase: int) -> None:
        async with asyncio.timeout(20):
            while self.phase(name) != phase:  # noqa: ASYNC110 - the course under test tells nobody
                await asyncio.sleep(0.001)

    async def pass_by(self) -> None:
        """More time than a step takes."""
        await asyncio.sleep(5 * drain._TICK_S)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_TICK_S", 0.002)
    monkeypatch.setattr(drain, "QUIET_S", 0.02)
    monkeypatch.setattr(drain, "INSIST_S", 0.0)


@asynccontextmanager
async def running(life: Life, timeout_s: float = LONG_S) -> AsyncIterator[Scene]:
    scene = Scene(life, timeout_s)
    scene.running = asyncio.create_task(scene.drain.run())
    await asyncio.sleep(0)
    try:
        yield scene
    finally:
        scene.insist()
        await scene.running


async def test_a_native_sidecar() -> None:
    """preStop: inbound goes on, is told, and drains; outbound serves until SIGTERM, when the application has gone."""
    async with running(Life(drain_delay_s=0.02)) as scene:
        leaving = asyncio.create_task(scene.drain.leave())
        await scene.reach("inbound", LINGERING)
        assert (scene.drain.begun, scene.story) == (True, [])
        assert await leaving == "drained: inbound"
        assert scene.story == ["inbound drains in 1000"]
        scene.open["inbound"] = 0
        await scene.reach("inbound", ENDED)
        await scene.pass_by()
        assert scene.phase("outbound") == SERVING
        scene.open["outbound"] = 0
        scene.drain.stop()
        assert scene.running is not None
        assert await scene.running
        assert scene.story[2:] == ["outbound drains in 1000", "outbound ended"]


async def test_a_native_sidecar_without_a_hook() -> None:
    async with running(Life(drain_delay_s=LONG_S)) as scene:
        scene.drain.stop()
        await scene.reach("inbound", DRAINING)
        await scene.reach("outbound", DRAINING)


async def test_a_plain_container_whose_application_uses_its_time() -> None:
    """SIGTERM comes to both at once: what is under way inbound may still need outbound, also new connections."""
    async with running(Life(drain_delay_s=0.02, shutdown_grace_s=LONG_S, drain_timeout_s=7)) as scene:
        scene.drain.stop()
        scene.open["outbound"] = 0
        await scene.reach("inbound", DRAINING)
        await asyncio.sleep(3 * drain.QUIET_S)
        assert scene.phase("outbound") == LINGERING
        scene.open["inbound"] = 0
        await scene.reach("inbound", ENDED)
        scene.open["outbound"] = 1
        await asyncio.sleep(3 * drain.QUIET_S)
        assert scene.phase("outbound") == LINGERING
        scene.open["outbound"] = 0
        assert scene.running is not None
        assert await asyncio.wait_for(scene.running, 20)
        assert scene.story == ["inbound drains in 7", "inbound ended", "outbound drains in 7", "outbound ended"]


async def test_an_application_that_never_ends_has_its_grace() -> None:
    async with running(Life(shutdown_grace_s=0.05)) as scene:
        scene.drain.stop()
        await scene.reach("outbound", DRAINING)
        assert scene.phase("inbound") == DRAINING


async def test_a_job_that_says_its_end_waits_for_nothing() -> None:
    async with running(Life(drain_delay_s=LONG_S, shutdown_grace_s=LONG_S)) as scene:
        scene.open = {"inbound": 0, "outbound": 0}
        scene.drain.shut_down()
        assert scene.running is not None
        assert await asyncio.wait_for(scene.running, 20)


async def test_who_serves_others_hears_of_the_end_before_they_do() -> None:
    heard: list[str] = []
    async with running(Life(drain_delay_s=LONG_S)) as scene:
        scene.doors["inbound"].leave = lambda: heard.append("inbound leaves")
        leaving = asyncio.create_task(scene.drain.leave())
        await scene.reach("inbound", LINGERING)
        assert (heard, scene.story) == (["inbound leaves"], [])
        scene.drain.stop()
        await asyncio.wait_for(leaving, 20)


async def test_sigterm_ends_the_wait_of_a_hook() -> None:
    async with running(Life(drain_delay_s=LONG_S)) as scene:
        leaving = asyncio.create_task(scene.drain.leave())
        await scene.reach("inbound", LINGERING)
        scene.drain.stop()
        assert await asyncio.wait_for(leaving, 20) == "drained: inbound"


async def test_a_drain_alone_does_not_end_the_process() -> None:
    scene = Scene(Life(drain_delay_s=0.0))
    alone = Drain([scene.doors["inbound"]], scene.drain.life, lambda: 1.0, lambda _line: None)
    ending = asyncio.create_task(alone.run())
    assert await alone.leave() == "drained: inbound"
    scene.open["inbound"] = 0
    await scene.reach("inbound", ENDED)
    await scene.pass_by()
    assert not ending.done()
    alone.stop()
    assert await asyncio.wait_for(ending, 20)


async def test_nobody_to_tell() -> None:
    scene = Scene(Life())
    alone = Drain([scene.doors["outbound"]], Life(), lambda: 1.0, lambda _line: None)
    assert await alone.leave() == "nothing to drain: no direction of this proxy serves others"
    assert not alone.begun


async def test_who_insists_does_not_wait() -> None:
    async with running(Life()) as scene:
        scene.drain.stop()
        await scene.reach("outbound", DRAINING)
        scene.drain.stop()
        assert scene.running is not None
        assert await asyncio.wait_for(scene.running, 20) is False


async def test_the_same_signal_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "INSIST_S", LONG_S)
    async with running(Life()) as scene:
        scene.drain.stop()
        scene.drain.stop()
        await scene.reach("outbound", DRAINING)
        scene.open = {"inbound": 0, "outbound": 0}
        assert scene.running is not None
        assert await asyncio.wait_for(scene.running, 20)


async def test_what_time_ends_is_said() -> None:
    lines: list[str] = []

    async def never(_timeout_s: float) -> bool:
        return False

    ending = Drain([Door("outbound", False, lambda: 3, never)], Life(), lambda: 0.0, lines.append)
    ending.shut_down()
    assert await ending.run()
    assert lines == [
        "draining outbound: 3 connections",
        "draining outbound: the time is up, what was open was ended",
    ]
