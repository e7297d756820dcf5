"""Clients that take all that they can get, or nothing of what they asked for: the others are served."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from controlplane.ads import allowance
from controlplane.ads.server import ServerSettings
from controlplane.discovery.bounds import Bounds
from controlplane.translate.resource import CDS, EDS
from tests.unit.controlplane.ads.raw import Raw, subscribe
from tests.unit.controlplane.ads.serving import HANG_S, DeltaCall, serve

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_one_address_has_a_part_of_the_streams_and_health_is_answered_still() -> None:
    async with serve(bounds=Bounds(streams=8)) as serving, serving.channel() as channel:
        calls = [DeltaCall(channel) for _ in range(2)]
        for call in calls:
            await call.fetch(CDS, "a")
        code, details = await DeltaCall(channel).status()
        assert (code, details) == (EXHAUSTED, "this control plane serves 2 streams of one address; try another replica")
        assert (await HealthStub(channel).Check(HealthCheckRequest())).status == HealthCheckResponse.NOT_SERVING
        calls[0].call.cancel()
        await serving.until_streams(1)
        assert await DeltaCall(channel).fetch(CDS, "a") == {}


async def test_those_who_wait_for_the_source_have_places_too() -> None:
    bounds = Bounds(streams=4)
    async with serve(ServerSettings(silence_s=0.0), bounds, False) as serving, serving.channel() as channel:
        waiting = DeltaCall(channel)
        await waiting.send(CDS, ["a"])
        await serving.until_streams(1)
        assert (await DeltaCall(channel).status())[0] == EXHAUSTED
        serving.server.admit()
        await waiting.read()


async def test_a_stream_that_says_nothing_gives_way() -> None:
    settings = ServerSettings(silence_s=0.0)
    async with serve(settings, Bounds(streams=8)) as serving, serving.channel() as channel:
        busy, silent = DeltaCall(channel), DeltaCall(channel)
        await busy.fetch(CDS, "a")
        await serving.until_streams(2)
        assert await DeltaCall(channel).fetch(CDS, "a") == {}
        code, details = await silent.status()
        assert code == grpc.StatusCode.UNAVAILABLE
        assert "asked for nothing" in details
        assert not busy.call.done()
        assert (await DeltaCall(channel).status())[0] == EXHAUSTED, "those that say something stay"


async def test_calls_that_are_not_discovery_are_counted_apart() -> None:
    async with serve(ServerSettings(other_calls=8)) as serving, serving.channel() as channel:
        health = HealthStub(channel)
        watches = [health.Watch(HealthCheckRequest()) for _ in range(2)]
        for watch in watches:
            await watch.read()
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await health.Watch(HealthCheckRequest()).read()
        assert error.value.code() == EXHAUSTED
        reflection = ServerReflectionStub(channel).ServerReflectionInfo()
        await reflection.write(ServerReflectionRequest(list_services=""))
        with pytest.raises(grpc.aio.AioRpcError):
            await reflection.read()
        assert (await health.Check(HealthCheckRequest())).status == HealthCheckResponse.NOT_SERVING
        assert await DeltaCall(channel).fetch(CDS, "a") == {}
        watches[0].cancel()
        async with asyncio.timeout(HANG_S):
            while await is_refused(health):  # noqa: ASYNC110 - the server owes no event to tests
                await asyncio.sleep(0.01)


async def is_refused(health: HealthStub) -> bool:
    watch = health.Watch(HealthCheckRequest())
    try:
        await watch.read()
    except grpc.aio.AioRpcError:
        return True
    watch.cancel()
    return False


async def test_a_client_that_never_reads_is_ended_and_keeps_its_place_until_it_is_gone() -> None:
    async with serve(ServerSettings(write_s=0.2)) as serving:
        serving.table.put(EDS, "a", "0", 100_000)
        async with Raw(serving.port, window_bytes=0) as raw:
            raw.open(subscribe(EDS, "a"))
            await serving.until(lambda: serving.exchange.interests.follows == 1)
            await serving.until(lambda: serving.exchange.interests.follows == 0)
            assert len(serving.exchange.streams) == 1
            assert serving.server.sessions.all() == []
            assert serving.unsent.in_all > 100_000
        await serving.until_streams(0)
        assert serving.unsent.in_all == 0


async def test_who_does_not_read_is_sent_no_more_and_others_are() -> None:
    async with AsyncExitStack() as stack:
        settings = ServerSettings(unsent_bytes_max=8 << 20)
        serving = await stack.enter_async_context(serve(settings))
        serving.table.put(EDS, "a", "0", 1 << 20)
        raw = await stack.enter_async_context(Raw(serving.port, window_bytes=0))
        for number in range(9):
            raw.open(subscribe(EDS, "a", node_id=f"{number}.raw"))
        await serving.until(lambda: serving.exchange.interests.follows == 9)
        await serving.until(lambda: serving.unsent.in_all >= 2 << 20)
        flying = [s for stream in serving.exchange.streams for s in stream.subscriptions.values() if s.flight]
        assert len(flying) == 2, "a quarter of what all may have unsent"
        assert not serving.unsent.has_room("ipv4:127.0.0.1")
        assert serving.unsent.has_room("ipv4:127.0.0.2")


async def test_each_stream_ends_before_its_connection_is_told_to_go_away() -> None:
    """GOAWAY goes to all connections at once; those who heed it would all come to the other replica at once."""
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(serve())
        clients = [await stack.enter_async_context(Raw(serving.port)) for _ in range(5)]
        for client in clients:
            client.open(subscribe(CDS, "a"))
        await serving.until(lambda: all(client.received_bytes for client in clients))
        await serving.server.stop(0.2)
        await serving.until(lambda: all(len(client.ends) >= 2 for client in clients))
        assert [client.ends[0].__name__ for client in clients] == ["StreamEnded"] * 5


async def test_who_asks_too_fast_is_read_later_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "BURST", 5.0)
    monkeypatch.setattr(allowance, "PER_S", 1e-6)
    async with serve() as serving, serving.channel() as channel:
        hasty, other = DeltaCall(channel), DeltaCall(channel)
        for number in range(20):
            await hasty.send(CDS, [str(number)])
        await serving.until(lambda: serving.exchange.interests.follows == 5)
        for _ in range(4):
            assert await other.fetch(CDS, "a") == {}
        assert serving.exchange.interests.follows == 5 + 1
