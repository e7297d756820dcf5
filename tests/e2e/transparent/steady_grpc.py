"""A gRPC server that ends as one should: GOAWAY names the last call that it has answered, and none is cancelled.

With the `h2` library: grpcio's own cancels calls that it has received and not begun when it is stopped, which is the
application's loss with and without a mesh, and would hide ours.
"""

from __future__ import annotations

import asyncio

import h2.config
import h2.connection
import h2.events

_FAREWELL_S = 1.0


class Grpc(asyncio.Protocol):
    """Answers each call with its message; the trailers have the server's name."""

    def __init__(self, name: str, connections: set[Grpc]) -> None:
        self.name = name
        self.connections = connections
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.bodies: dict[int, bytes] = {}
        self.has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.connections.add(self)
        self.conn.initiate_connection()
        transport.write(self.conn.data_to_send())

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self.has_ended:
            return
        for event in self.conn.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.bodies[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._answer(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.bodies.pop(event.stream_id, None)
        self.transport.write(self.conn.data_to_send())

    def _answer(self, stream_id: int) -> None:
        conn = self.conn
        conn.send_headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])
        conn.send_data(stream_id, self.bodies.pop(stream_id))
        conn.send_headers(stream_id, [("grpc-status", "0"), ("backend", self.name)], end_stream=True)

    def end(self) -> None:
        """What was on its way is above the GOAWAY's last stream; it is read, or the kernel would send a reset."""
        self.has_ended = True
        self.conn.close_connection()
        self.transport.write(self.conn.data_to_send())
        self.transport.write_eof()
        asyncio.get_running_loop().call_later(_FAREWELL_S, self.transport.close)
