"""The composition with a source of the test's own: waiting for it, losing it, failing with it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import aiohttp
import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from controlplane.main import ControlPlane
from controlplane.model.objects import SERVICES, Service, ServicePort
from controlplane.model.snapshot import KINDS, Relist
from controlplane.options import parse
from controlplane.sources.source import Counters, Sink
from controlplane.translate.resource import CDS
from tests.unit.controlplane.ads.serving import HANG_S, DeltaCall

TARGET = "voting.demo.svc.cluster.local:8080"


class Told:
    """A source that does what it is told."""

    def __init__(self) -> None:
        self.synced = False
        self.age_s = 0.0
        self.failure: Exception | None = None
        self.poke = asyncio.Event()

    async def open(self) -> None:
        return

    async def run(self, sink: Sink) -> None:
        service = Service("demo", "voting", headless=True, ports=(ServicePort("grpc", 8080),))
        sink([Relist(SERVICES, (service,))])
        await self.poke.wait()
        if self.failure is not None:
            raise self.failure

    def staleness_s(self, now: float) -> float:
        return self.age_s

    def staleness(self, now: float) -> Mapping[str, float]:
        return dict.fromkeys(KINDS, self.age_s)

    def problems(self) -> list[str]:
        return []

    def counters(self) -> Counters:
        return {("relists", "services", "start"): 1}


class Running:
    def __init__(self, *options: str) -> None:
        self.source = Told()
        given = ["--source", "files:.", "--xds", "127.0.0.1:0", "--admin", "127.0.0.1:0", *options]
        self.plane = ControlPlane(parse(given), self.source, stale_s=5.0)
        self.task = asyncio.create_task(self.plane.run())

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANG_S):
            while not check():  # noqa: ASYNC110 - what is waited for owes no event to tests
                await asyncio.sleep(0.005)

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{self.admin}{path}") as response:
                return response.status, await response.text()


@asynccontextmanager
async def run(capsys: pytest.CaptureFixture[str], *options: str) -> AsyncIterator[Running]:
    running = Running(*options)
    err = ""
    async with asyncio.timeout(HANG_S):
        while "serving xDS on " not in err:
            assert not running.task.done(), running.task.exception()
            err += capsys.readouterr().err
            await asyncio.sleep(0.005)
    words = err.partition("serving xDS on ")[2].split()
    running.xds, running.admin = words[0].rstrip(","), words[3]  # type: ignore[attr-defined]
    try:
        yield running
    finally:
        running.plane.stop.set()
        await asyncio.wait_for(asyncio.shield(running.task), HANG_S)


async def test_nobody_is_served_before_the_source_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    async with run(capsys) as running, grpc.aio.insecure_channel(running.xds) as channel:
        call = DeltaCall(channel)
        await call.send(CDS, [TARGET])
        assert await running.get("/ready") == (503, "the source has not been read yet\n")
        assert (await running.get("/live"))[0] == 200
        health = await HealthStub(channel).Check(HealthCheckRequest())
        assert health.status == HealthCheckResponse.NOT_SERVING
        running.source.synced = True
        assert [item.name for item in (await call.read()).resources] == [TARGET], "it was held, not refused"
        await running.until(lambda: running.plane.unready_reason() == "")
        assert (await running.get("/ready"))[0] == 200
        metrics = (await running.get("/metrics"))[1]
        assert 'controlplane_source_relists_total{kind="services",reason="start"} 1.0' in metrics


async def test_a_stale_replica_serves_on_where_none_is_better(capsys: pytest.CaptureFixture[str]) -> None:
    async with run(capsys) as running, grpc.aio.insecure_channel(running.xds) as channel:
        running.source.synced = True
        call = DeltaCall(channel)
        await call.fetch(CDS, TARGET)
        running.source.age_s = 6.0
        await running.until(lambda: running.plane._is_stale)
        assert await running.get("/ready") == (200, "ready\n")
        health = await HealthStub(channel).Check(HealthCheckRequest())
        assert health.status == HealthCheckResponse.SERVING
        assert await call.fetch(CDS, TARGET) != {}


async def test_a_stale_replica_closes_its_streams_where_others_are_better(capsys: pytest.CaptureFixture[str]) -> None:
    async with run(capsys, "--when-stale", "close") as running, grpc.aio.insecure_channel(running.xds) as channel:
        running.source.synced = True
        call = DeltaCall(channel)
        await call.fetch(CDS, TARGET)
        running.source.age_s = 6.0
        assert (await call.status())[0] == grpc.StatusCode.UNAVAILABLE
        running.source.age_s = 0.0
        await running.until(lambda: running.plane.unready_reason() == "")
        assert await DeltaCall(channel).fetch(CDS, TARGET) != {}


async def test_a_source_that_fails_ends_the_process_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    async with run(capsys) as running:
        running.source.failure = RuntimeError("lost")
        running.source.poke.set()
        assert await asyncio.wait_for(running.task, HANG_S) == 1
    assert "RuntimeError: lost" in capsys.readouterr().err


async def test_a_source_that_ends_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    async with run(capsys) as running:
        running.source.poke.set()
        assert await asyncio.wait_for(running.task, HANG_S) == 1
    assert "the source has ended" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_a_peaceful_end(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    async with run(capsys) as running:
        os.kill(os.getpid(), number)
        assert await asyncio.wait_for(running.task, HANG_S) == 0
    assert "stopped" in capsys.readouterr().err
