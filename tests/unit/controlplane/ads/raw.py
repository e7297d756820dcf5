"""An HTTP/2 client without gRPC, for what a gRPC client would never do: not read, and see each frame of an end."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from envoy.config.core.v3.base_pb2 import Node
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, StreamEnded, StreamReset
from h2.settings import SettingCodes

from controlplane.ads.server import ADS_SERVICE

ENDS = (ConnectionTerminated, StreamEnded, StreamReset)
METHOD = f"/{ADS_SERVICE}/DeltaAggregatedResources"


class Raw:
    """`window_bytes` is what it reads of each stream; `events` are those that it has seen."""

    def __init__(self, port: int, window_bytes: int = 65535) -> None:
        self.events: list[Event] = []
        self._port = port
        self._connection = H2Connection(H2Configuration(client_side=True))
        self._connection.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = window_bytes

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._connection.initiate_connection()
        self._flush()
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
        await self._writer.wait_closed()

    def open(self, *messages: bytes, method: str = METHOD) -> int:
        """A call with these requests; the result is the stream's number."""
        stream = self._connection.get_next_available_stream_id()
        path = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "x"), ("te", "trailers")]
        self._connection.send_headers(stream, [*path, ("content-type", "application/grpc")])
        for message in messages:
            self._connection.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message)
        self._flush()
        return stream

    @property
    def ends(self) -> list[type[Event]]:
        return [type(event) for event in self.events if isinstance(event, ENDS)]

    @property
    def received_bytes(self) -> int:
        return sum(len(event.data) for event in self.events if isinstance(event, DataReceived))

    async def _read(self) -> None:
        while data := await self._reader.read(65536):
            self.events += self._connection.receive_data(data)
            self._flush()

    def _flush(self) -> None:
        self._writer.write(self._connection.data_to_send())


def subscribe(type_url: str, *names: str, node_id: str = "raw.demo") -> bytes:
    request = DeltaDiscoveryRequest(node=Node(id=node_id), type_url=type_url, resource_names_subscribe=names)
    return request.SerializeToString()
