"""The ADS server over loopback, with real gRPC clients."""

from __future__ import annotations

import asyncio
import gc
import socket

import grpc
import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, PingAckReceived

from controlplane.ads.server import ADS_SERVICE, ServerSettings
from controlplane.discovery.bounds import Bounds
from controlplane.translate.resource import CDS, EDS
from tests.unit.controlplane.ads.serving import HANG_S, DeltaCall, SotwCall, serve
from tests.unit.controlplane.discovery.table import ENVOY_NODE

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def test_delta_follows_a_resource() -> None:
    async with serve() as serving, serving.channel() as channel:
        serving.table.put(CDS, "a", "1")
        call = DeltaCall(channel)
        assert await call.fetch(CDS, "a") == {"a": serving.table.resources[CDS, "a"].version}
        serving.announce(serving.table.put(CDS, "a", "2"))
        response = await call.read()
        cluster = Cluster()
        assert response.resources[0].resource.Unpack(cluster)
        assert cluster.alt_stat_name == "2"
        serving.announce(serving.table.remove(CDS, "a"))
        await call.ack(response)
        assert list((await call.read()).removed_resources) == ["a"]


async def test_sotw_follows_the_wildcard() -> None:
    async with serve() as serving, serving.channel() as channel:
        serving.table.put(CDS, "a", "1")
        call = SotwCall(channel, ENVOY_NODE)
        await call.send(CDS)
        first = await call.read()
        assert len(first.resources) == 1
        await call.send(CDS, nonce=first.nonce, version=first.version_info)
        serving.announce(serving.table.put(CDS, "b", "1"))
        second = await call.read()
        assert len(second.resources) == 2
        assert second.version_info != first.version_info


async def test_a_reconnecting_client_gets_nothing_that_it_has() -> None:
    async with serve() as first, serve() as second:
        for serving in (first, second):
            serving.table.put(CDS, "a", "1")
            serving.table.put(CDS, "b", "1")
        async with first.channel() as channel:
            held = await DeltaCall(channel).fetch(CDS, "a", "b")
        await first.until_streams(0)
        async with second.channel() as channel:
            call = DeltaCall(channel)
            await call.send(CDS, ["a", "b"], initial=held)
            assert await call.fetch(EDS, "nothing") == {}, "the first that comes is the answer to something else"
            second.announce(second.table.put(CDS, "b", "2"))
            assert [item.name for item in (await call.read()).resources] == ["b"]


async def test_requests_wait_until_the_source_is_read() -> None:
    async with serve(admitted=False) as serving, serving.channel() as channel:
        call = DeltaCall(channel)
        await call.send(CDS, ["a"])
        await asyncio.sleep(0.1)
        assert not serving.pushes
        serving.table.put(CDS, "a", "1")
        serving.server.admit()
        assert [item.name for item in (await call.read()).resources] == ["a"]


async def test_a_hostile_client_ends_and_others_go_on() -> None:
    async with serve(bounds=Bounds(names_per_type=10)) as serving, serving.channel() as channel:
        serving.table.put(CDS, "a", "1")
        good, hostile = DeltaCall(channel), DeltaCall(channel)
        await good.fetch(CDS, "a")
        await hostile.send(CDS, [str(i) for i in range(11)])
        code, details = await hostile.status()
        assert (code, details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "a stream may ask for 10 names of a type")
        serving.announce(serving.table.put(CDS, "a", "2"))
        assert len((await good.read()).resources) == 1


async def test_what_is_no_message_and_what_is_too_large() -> None:
    async with serve(ServerSettings(request_bytes_max=10_000)) as serving, serving.channel() as channel:
        method = channel.stream_stream(f"/{ADS_SERVICE}/DeltaAggregatedResources")
        garbage = method()
        await garbage.write(b"\xff\xff\xff\xff")
        assert await garbage.code() == grpc.StatusCode.INVALID_ARGUMENT
        large = method()
        await large.write(b"x" * 20_000)
        assert await large.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        await serving.until_streams(0)


async def test_a_client_that_leaves_is_forgotten() -> None:
    async with serve() as serving:
        async with serving.channel() as channel:
            call = DeltaCall(channel)
            await call.fetch(CDS, "a")
            await serving.until_streams(1)
            call.call.cancel()
            await serving.until_streams(0)
            other = DeltaCall(channel)
            await other.fetch(CDS, "a")
            await other.call.done_writing()
            async with asyncio.timeout(HANG_S):
                assert await other.call.code() == grpc.StatusCode.OK
        await serving.until_streams(0)
        assert serving.exchange.interests.follows == 0


async def test_a_client_that_does_not_read_holds_one_response_per_type() -> None:
    """Each response is larger than all flow-control windows, so what is not read stays with the server."""
    size = 3_000_000
    options = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
    async with serve() as serving, serving.channel(*options) as slow, serving.channel(*options) as quick:
        serving.table.put(EDS, "a", "0", size)
        lazy, eager = DeltaCall(slow, ENVOY_NODE), DeltaCall(quick)
        await lazy.send(EDS, ["a"])
        await eager.fetch(EDS, "a")
        for i in range(1, 20):
            serving.announce(serving.table.put(EDS, "a", str(i), size))
            await eager.ack(await eager.read())
        (stream,) = (stream for stream in serving.exchange.streams if stream.name == ENVOY_NODE.id)
        assert stream.subscriptions[EDS].flight is not None
        assert stream.subscriptions[EDS].dirty == {"a"}, "a name waits for it, and nothing else"
        first = await lazy.read()
        await lazy.ack(first)
        second = await lazy.read()
        assert second.resources[0].version == serving.table.resources[EDS, "a"].version
        await serving.until(lambda: len(serving.pushes) >= 20 + 2)
        assert len(serving.pushes) == 20 + 2
        assert len({id(push.data) for push in serving.pushes}) == 20, "the bytes are shared"


async def test_a_stream_has_an_age() -> None:
    async with serve(ServerSettings(stream_age_s=0.2)) as serving, serving.channel() as channel:
        call = DeltaCall(channel)
        await call.send(CDS, ["a"])
        code, details = await call.status()
        assert (code, details) == (UNAVAILABLE, "the stream has reached its age; open another")
        await serving.until_streams(0)


async def test_a_client_that_does_not_read_ends_too() -> None:
    async with serve() as serving, serving.channel(("grpc.max_receive_message_length", -1)) as channel:
        serving.table.put(EDS, "a", "0", 30_000_000)
        lazy = DeltaCall(channel)
        await lazy.send(EDS, ["a"])
        await serving.until(lambda: any(EDS in stream.subscriptions for stream in serving.exchange.streams))
        await asyncio.sleep(0.1)
        serving.server.refuse("stale")
        await serving.until(lambda: serving.exchange.interests.follows == 0)
        lazy.call.cancel()
        await serving.until_streams(0)


async def test_a_stale_replica_closes_and_comes_back() -> None:
    async with serve() as serving, serving.channel() as channel:
        call = DeltaCall(channel)
        await call.fetch(CDS, "a")
        serving.server.refuse("stale")
        assert await call.status() == (UNAVAILABLE, "stale")
        late = DeltaCall(channel)
        assert await late.status() == (UNAVAILABLE, "stale")
        serving.server.accept()
        assert await DeltaCall(channel).fetch(CDS, "a") == {}


async def test_stopping_ends_every_stream_with_a_status() -> None:
    async with serve() as serving, serving.channel() as channel:
        calls = [DeltaCall(channel) for _ in range(10)]
        for call in calls:
            await call.fetch(CDS, "a")
        stopping = asyncio.create_task(serving.server.stop(0.2))
        for call in calls:
            code, details = await call.status()
            assert (code, details) == (UNAVAILABLE, "the control plane is going down; another replica serves")
        await stopping


async def test_who_leaves_while_the_server_stops(caplog: pytest.LogCaptureFixture) -> None:
    """Their turn comes when they are gone; asyncio would complain of an end that nobody looks at."""
    async with serve() as serving:
        async with serving.channel() as channel:
            calls = [DeltaCall(channel) for _ in range(5)]
            for call in calls:
                await call.fetch(CDS, "a")
            stopping = asyncio.create_task(serving.server.stop(0.5))
            await asyncio.sleep(0)
        await stopping
        gc.collect()
    assert caplog.records == []


async def test_stopping_frees_those_who_still_wait_for_the_source() -> None:
    async with serve(admitted=False) as serving, serving.channel() as channel:
        call = DeltaCall(channel)
        await call.send(CDS, ["a"])
        await asyncio.sleep(0.05)
        await serving.server.stop(0.0)
        assert await call.status() == (UNAVAILABLE, "the control plane is going down; another replica serves")


@pytest.mark.parametrize("service", ["", ADS_SERVICE])
async def test_health(service: str) -> None:
    async with serve() as serving, serving.channel() as channel:
        stub, request = HealthStub(channel), HealthCheckRequest(service=service)
        assert (await stub.Check(request)).status == HealthCheckResponse.NOT_SERVING
        await serving.server.set_health(True)
        assert (await stub.Check(request)).status == HealthCheckResponse.SERVING


async def test_reflection_lists_and_describes_the_services() -> None:
    async with serve() as serving, serving.channel() as channel:
        call = ServerReflectionStub(channel).ServerReflectionInfo()
        await call.write(ServerReflectionRequest(list_services=""))
        names = {service.name for service in (await call.read()).list_services_response.service}
        assert names >= {ADS_SERVICE, "envoy.service.status.v3.ClientStatusDiscoveryService", "grpc.health.v1.Health"}
        await call.write(ServerReflectionRequest(file_containing_symbol=ADS_SERVICE))
        assert (await call.read()).file_descriptor_response.file_descriptor_proto


def exchange_pings(port: int, count: int) -> tuple[int, int]:
    """Send so many PINGs on a connection without a stream: how many ACKs and GOAWAYs come back."""
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    acks = goaways = 0
    with socket.create_connection(("127.0.0.1", port), timeout=HANG_S) as peer:
        for i in range(count):
            connection.ping(i.to_bytes(8, "big"))
            peer.sendall(connection.data_to_send())
        while acks < count and not goaways:
            data = peer.recv(65536)
            assert data, "the server has closed the connection"
            for event in connection.receive_data(data):
                acks += isinstance(event, PingAckReceived)
                goaways += isinstance(event, ConnectionTerminated)
    return acks, goaways


async def test_eager_pings_are_not_punished() -> None:
    async with serve() as serving:
        assert await asyncio.to_thread(exchange_pings, serving.port, 50) == (50, 0)
