"""The `h2` library as a peer of the proxy: it holds what it hears against RFC 9113, and sends what it is told to.

It raises on whatever breaks the protocol, such as DATA above the windows that it has granted.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events

Pairs = list[tuple[bytes, bytes]]


@dataclass
class Message:
    """A request or a response: what is to be sent of it, or what has come."""

    headers: Pairs = field(default_factory=list)
    body: bytes = b""
    trailers: Pairs = field(default_factory=list)
    ended: bool = False


class Oracle:
    """`outbox` holds bytes for the proxy; `received` the messages by stream."""

    def __init__(self, is_client: bool, rng: random.Random) -> None:
        config = h2.config.H2Configuration(client_side=is_client, header_encoding=False)
        self.conn = h2.connection.H2Connection(config)
        self.conn.initiate_connection()
        self.rng = rng
        self.received: dict[int, Message] = {}
        self.sending: dict[int, tuple[Message, int]] = {}
        self.uncredited: list[tuple[int, int]] = []
        self.resets: dict[int, int] = {}
        self.heard: list[h2.events.Event] = []

    def outbox(self) -> bytes:
        return self.conn.data_to_send()

    def hear(self, data: bytes) -> None:
        for event in self.conn.receive_data(data):
            if isinstance(event, h2.events.RequestReceived | h2.events.ResponseReceived):
                self.received[event.stream_id] = Message([(bytes(name), bytes(value)) for name, value in event.headers])
            elif isinstance(event, h2.events.DataReceived):
                self.received[event.stream_id].body += event.data
                self.uncredited.append((event.stream_id, event.flow_controlled_length))
            elif isinstance(event, h2.events.TrailersReceived):
                self.received[event.stream_id].trailers = [(bytes(n), bytes(v)) for n, v in event.headers]
            elif isinstance(event, h2.events.StreamEnded):
                self.received[event.stream_id].ended = True
            elif isinstance(event, h2.events.StreamReset):
                self.resets[event.stream_id] = event.error_code
            assert not isinstance(event, h2.events.ConnectionTerminated), event
            self.heard.append(event)

    def start(self, stream_id: int, message: Message) -> None:
        """Send the headers; the rest follows with `step`."""
        end = not message.body and not message.trailers
        self.conn.send_headers(stream_id, message.headers, end_stream=end)
        if not end:
            self.sending[stream_id] = message, 0

    def step(self) -> None:
        """Send one more piece of one stream, as far as the windows allow."""
        if not self.sending:
            return
        stream_id = self.rng.choice(list(self.sending))
        message, at = self.sending[stream_id]
        if at < len(message.body):
            at = self._send_piece(stream_id, message, at)
            self.sending[stream_id] = message, at
        elif message.trailers:
            self.conn.send_headers(stream_id, message.trailers, end_stream=True)
            del self.sending[stream_id]
        else:
            del self.sending[stream_id]

    def _send_piece(self, stream_id: int, message: Message, at: int) -> int:
        room = min(self.conn.local_flow_control_window(stream_id), self.conn.max_outbound_frame_size)
        pad = self.rng.choice([None, None, 0, 7, 255])
        overhead = 0 if pad is None else pad + 1
        size = min(self.rng.choice([1, 100, 5_000, 16_384]), len(message.body) - at, room - overhead)
        if size <= 0:
            return at
        end = at + size == len(message.body) and not message.trailers
        self.conn.send_data(stream_id, message.body[at : at + size], end_stream=end, pad_length=pad)
        return at + size

    def credit(self) -> None:
        """Give some of the windows back."""
        if self.uncredited:
            stream_id, size = self.uncredited.pop(self.rng.randrange(len(self.uncredited)))
            self.conn.acknowledge_received_data(size, stream_id)

    def resize(self, window_bytes: int) -> None:
        """Change SETTINGS_INITIAL_WINDOW_SIZE in mid-stream."""
        self.conn.update_settings({0x4: window_bytes})
