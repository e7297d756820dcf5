"""The ADS server over loopback with a catalog of the test's own, and a client with real gRPC stubs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random

import grpc
from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)
from google.rpc.status_pb2 import Status

from controlplane.ads.server import AdsServer, ServerSettings
from controlplane.discovery.bounds import Bounds
from controlplane.discovery.stream import Push
from tests.unit.controlplane.discovery.table import SIDECAR_NODE, Exchange, Table

HANG_S = 20.0  # nothing here takes a second; a hang is a failure


class Serving:
    """A running server; `pushes` are all that it has written."""

    def __init__(self, settings: ServerSettings | None = None, bounds: Bounds | None = None) -> None:
        self.table = Table()
        self.exchange = Exchange(self.table, bounds, bytes_per_s=1e12)
        self.pushes: list[Push] = []
        self.server = AdsServer(self.exchange, self.pushes.append, Random(1), settings or ServerSettings())
        self.unsent = self.server.unsent
        self.port = 0

    def announce(self, *keys: str) -> None:
        now = asyncio.get_running_loop().time()
        self.server.sessions.wake(self.exchange.announce(keys, now))

    async def until_streams(self, count: int) -> None:
        await self.until(lambda: len(self.exchange.streams) == count)

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANG_S):
            while not check():  # noqa: ASYNC110 - the server owes no event to tests
                await asyncio.sleep(0.005)

    def channel(self, *options: tuple[str, int]) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options)


@asynccontextmanager
async def serve(
    settings: ServerSettings | None = None, bounds: Bounds | None = None, admitted: bool = True
) -> AsyncIterator[Serving]:
    serving = Serving(settings, bounds)
    serving.port = serving.server.listen("127.0.0.1:0", None)
    await serving.server.start()
    if admitted:
        serving.server.admit()
    try:
        yield serving
    finally:
        await serving.server.stop(0.0)


class DeltaCall:
    """A delta stream, as a client has it."""

    def __init__(self, channel: grpc.aio.Channel, node: Node = SIDECAR_NODE) -> None:
        self.call = AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()
        self._node: Node | None = node

    async def send(
        self,
        type_url: str,
        subscribe: Iterable[str] = (),
        initial: dict[str, str] | None = None,
        nonce: str = "",
        problem: str = "",
    ) -> None:
        request = DeltaDiscoveryRequest(
            node=self._node,
            type_url=type_url,
            resource_names_subscribe=list(subscribe),
            initial_resource_versions=initial or {},
            response_nonce=nonce,
            error_detail=Status(message=problem) if problem else None,
        )
        self._node = None
        await self.call.write(request)

    async def read(self) -> DeltaDiscoveryResponse:
        async with asyncio.timeout(HANG_S):
            response = await self.call.read()
        assert response is not grpc.aio.EOF, await self.call.code()
        return response

    async def ack(self, response: DeltaDiscoveryResponse, problem: str = "") -> None:
        await self.send(response.type_url, nonce=response.nonce, problem=problem)

    async def fetch(self, type_url: str, *names: str) -> dict[str, str]:
        """Subscribe, and acknowledge the answer: name -> version."""
        await self.send(type_url, names)
        response = await self.read()
        await self.ack(response)
        return {item.name: item.version for item in response.resources}

    async def status(self) -> tuple[grpc.StatusCode, str]:
        """How the stream ended; it must be ended by the server."""
        async with asyncio.timeout(HANG_S):
            try:
                while await self.call.read() is not grpc.aio.EOF:
                    pass  # gRPC tells of the end when all that came before it has been read
            except grpc.aio.AioRpcError:
                pass
            return await self.call.code(), await self.call.details()


class SotwCall:
    """A state-of-the-world stream, as a client has it."""

    def __init__(self, channel: grpc.aio.Channel, node: Node = SIDECAR_NODE) -> None:
        self.call = AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()
        self._node: Node | None = node

    async def send(self, type_url: str, names: Iterable[str] = (), nonce: str = "", version: str = "") -> None:
        request = DiscoveryRequest(
            node=self._node,
            type_url=type_url,
            resource_names=list(names),
            response_nonce=nonce,
            version_info=version,
        )
        self._node = None
        await self.call.write(request)

    async def read(self) -> DiscoveryResponse:
        async with asyncio.timeout(HANG_S):
            response = await self.call.read()
        assert response is not grpc.aio.EOF, await self.call.code()
        return response
