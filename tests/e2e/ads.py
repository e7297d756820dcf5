"""An ADS server for the tests of the sidecar's client: real grpc.aio, xds-protos' messages, and a script of its own.

It is no control plane: it serves the resources it is given, counts what it is asked, and can misbehave.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

import grpc
from envoy.service.discovery.v3.ads_pb2_grpc import (
    AggregatedDiscoveryServiceServicer,
    add_AggregatedDiscoveryServiceServicer_to_server,
)
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.message import Message

from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE, TYPES
from tests.unit.proxy.control.resources import make_cluster, make_endpoints, make_listener, make_routes


class Ads(AggregatedDiscoveryServiceServicer):
    """Serves `resources[type_url][name]`; `requests` are all that came, `sent` the names of each response."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, tuple[str, bytes]]] = {type_url: {} for type_url in TYPES}
        self.requests: list[DeltaDiscoveryRequest] = []
        self.sent: list[tuple[str, ...]] = []
        self.streams = 0
        self.silent = False
        self.ends_with: grpc.StatusCode | None = None
        self.port = 0
        self._server: Any = None
        self._news: list[asyncio.Event] = []

    # ---- what it serves

    def put(self, type_url: str, name: str, message: Message | bytes) -> None:
        body = message if isinstance(message, bytes) else message.SerializeToString(deterministic=True)
        self.resources[type_url][name] = (hashlib.sha256(body).hexdigest()[:16], body)
        self._tell()

    def remove(self, type_url: str, name: str) -> None:
        self.resources[type_url].pop(name, None)
        self._tell()

    def put_service(self, name: str, *addresses: tuple[str, int], alias: str = "") -> None:
        self.put(LISTENER, alias or name, make_listener(alias or name, name))
        self.put(ROUTE, name, make_routes(name, name))
        self.put(CLUSTER, name, make_cluster(name))
        self.put(ENDPOINTS, name, make_endpoints(name, *addresses))

    def _tell(self) -> None:
        for event in self._news:
            event.set()

    # ---- the service

    async def DeltaAggregatedResources(  # noqa: N802 - gRPC's name
        self, requests: AsyncIterator[DeltaDiscoveryRequest], context: Any
    ) -> AsyncIterator[DeltaDiscoveryResponse]:
        self.streams += 1
        news = asyncio.Event()
        self._news.append(news)
        known: dict[str, dict[str, str | None]] = {type_url: {} for type_url in TYPES}
        reader = asyncio.create_task(self._read(requests, known, news))
        nonce = 0
        try:
            while True:
                if self.ends_with is not None:
                    await context.abort(self.ends_with, "so it is: 100 %")
                for type_url, names in known.items():
                    response = self._answer(type_url, names)
                    if response is not None:
                        nonce += 1
                        response.nonce = str(nonce)
                        yield response
                await news.wait()
                news.clear()
        finally:
            self._news.remove(news)
            reader.cancel()

    async def _read(
        self,
        requests: AsyncIterator[DeltaDiscoveryRequest],
        known: dict[str, dict[str, str | None]],
        news: asyncio.Event,
    ) -> None:
        async for request in requests:
            self.requests.append(request)
            names = known[request.type_url]
            for name in request.resource_names_unsubscribe:
                names.pop(name, None)
            for name in request.resource_names_subscribe:
                names[name] = request.initial_resource_versions.get(name)
            news.set()

    def _answer(self, type_url: str, names: dict[str, str | None]) -> DeltaDiscoveryResponse | None:
        """What differs from what the client has; None in `names` is 'has nothing and was told nothing'."""
        if self.silent:
            return None
        response = DeltaDiscoveryResponse(type_url=type_url)
        for name, version in names.items():
            now, body = self.resources[type_url].get(name, ("", b""))
            if now == version:
                continue
            names[name] = now
            if now:
                resource = response.resources.add(name=name, version=now)
                resource.resource.type_url = type_url
                resource.resource.value = body
            else:
                response.removed_resources.append(name)
        if not response.resources and not response.removed_resources:
            return None
        self.sent.append((*(one.name for one in response.resources), *response.removed_resources))
        return response

    # ---- its life

    async def start(
        self,
        port: int = 0,
        tls: tuple[bytes, bytes] | None = None,
        options: Sequence[tuple[str, int]] = (("grpc.http2.max_ping_strikes", 0),),
    ) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0), *options])
        add_AggregatedDiscoveryServiceServicer_to_server(self, self._server)
        address = f"127.0.0.1:{port}"
        if tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(None)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()
