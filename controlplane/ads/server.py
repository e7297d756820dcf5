"""The gRPC server: aggregated discovery in both protocols, and what goes with it.

Requests are held, not refused, until the source has been read once (`admit`): who asks early waits, and never sees a
mesh without its services. Messages are bytes in and bytes out; what they mean is discovery's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Final

import grpc
from envoy.service.discovery.v3 import ads_pb2  # also registers the service for reflection
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from controlplane.ads.others import Others
from controlplane.ads.session import WRITE_S, Context, Ending, Observer, Session
from controlplane.ads.sessions import SILENCE_S, Open, Sessions
from controlplane.ads.status import STATUS_SERVICE, status_handlers
from controlplane.ads.unsent import BYTES_MAX, Unsent
from controlplane.discovery.exchange import Exchange

ADS_SERVICE: Final = ads_pb2.DESCRIPTOR.services_by_name["AggregatedDiscoveryService"].full_name
_SERVICES: Final = (ADS_SERVICE, STATUS_SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """A stream lives for `stream_age_s`, more or less by `stream_age_jitter`, so that replicas share clients anew.

    The connection is told before (GOAWAY) to take no further stream, so the client's next one opens another.
    """

    stream_age_s: float = 1800.0
    stream_age_jitter: float = 0.2
    request_bytes_max: int = 4 << 20
    streams_per_connection: int = 100
    other_calls: int = 100
    unsent_bytes_max: int = BYTES_MAX
    write_s: float = WRITE_S
    silence_s: float = SILENCE_S
    keepalive_time_s: float = 30.0
    keepalive_timeout_s: float = 10.0

    def options(self) -> list[tuple[str, int]]:
        youngest_s = self.stream_age_s * (1 - self.stream_age_jitter)
        oldest_s = self.stream_age_s * (1 + self.stream_age_jitter)
        return [
            ("grpc.max_connection_age_ms", int(youngest_s / 1.1 * 1000)),  # gRPC itself adds up to 10 %
            ("grpc.max_connection_age_grace_ms", int((oldest_s - youngest_s / 1.1 + 60) * 1000)),
            ("grpc.max_receive_message_length", self.request_bytes_max),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", self.streams_per_connection),
            ("grpc.keepalive_time_ms", int(self.keepalive_time_s * 1000)),
            ("grpc.keepalive_timeout_ms", int(self.keepalive_timeout_s * 1000)),
            ("grpc.keepalive_permit_without_calls", 1),
            # Clients may ping as they like: a strict server closes those that are set a little more eager.
            ("grpc.http2.min_ping_interval_without_data_ms", 1000),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
            ("grpc.http2.max_ping_strikes", 0),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.so_reuseport", 0),  # a port in use is an error
        ]


class AdsServer:
    def __init__(self, exchange: Exchange, observe: Observer, rng: Random, settings: ServerSettings) -> None:
        self.unsent = Unsent(settings.unsent_bytes_max)
        self.sessions = Sessions(exchange, observe, self._begin, self.unsent, settings.write_s, settings.silence_s)
        self._exchange = exchange
        self._rng = rng
        self._settings = settings
        self._admitted = asyncio.Event()
        self._refusal = ""
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._server = grpc.aio.server(
            interceptors=(Others(ADS_SERVICE, settings.other_calls),), options=settings.options()
        )
        self._server.add_generic_rpc_handlers((self._ads_handlers(), status_handlers(exchange, self.unsent)))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*_SERVICES, reflection.SERVICE_NAME), self._server)

    def _ads_handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        methods = {
            "StreamAggregatedResources": self._serve(self._exchange.open_sotw),
            "DeltaAggregatedResources": self._serve(self._exchange.open_delta),
        }
        handlers = {name: grpc.stream_stream_rpc_method_handler(method) for name, method in methods.items()}
        return grpc.method_handlers_generic_handler(ADS_SERVICE, handlers)

    def _serve(self, open_stream: Open) -> Callable[[object, Context], Awaitable[None]]:
        async def serve(_requests: object, context: Context) -> None:
            await self.sessions.serve(open_stream, context)

        return serve

    async def _begin(self, session: Session) -> asyncio.TimerHandle:
        """Who waits has a place, so that no more can wait than will be served."""
        await self._admitted.wait()
        if self._refusal:
            raise Ending(grpc.StatusCode.UNAVAILABLE, self._refusal)
        jitter = self._settings.stream_age_jitter
        age_s = self._settings.stream_age_s * self._rng.uniform(1 - jitter, 1 + jitter)
        message = "the stream has reached its age; open another"
        return asyncio.get_running_loop().call_later(age_s, session.end, message)

    def listen(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        """Take the port; the result is its number. RuntimeError where it cannot be had."""
        if credentials is None:
            return int(self._server.add_insecure_port(address))
        return int(self._server.add_secure_port(address, credentials))

    async def start(self) -> None:
        await self.set_health(False)
        await self._server.start()

    def admit(self) -> None:
        """The source has been read: those who wait are served."""
        self._admitted.set()

    async def set_health(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *_SERVICES[:2]):
            await self._health.set(service, status)

    def refuse(self, message: str) -> None:
        """End all streams and take no new ones, until `accept`."""
        self._refusal = message
        for session in self.sessions.all():
            session.end(message)

    def accept(self) -> None:
        self._refusal = ""

    async def stop(self, spread_s: float) -> None:
        """Take no new streams, and end the open ones spread out, so that other replicas are not rushed.

        gRPC's own `stop` comes last: it tells all connections at once to go away.
        """
        self._refusal = "the control plane is going down; another replica serves"
        self._admitted.set()
        await self.set_health(False)
        sessions = self.sessions.all()
        self._rng.shuffle(sessions)
        for session in sessions:
            session.end(self._refusal)
            await asyncio.sleep(spread_s / len(sessions))
        await self._server.stop(1.0)
