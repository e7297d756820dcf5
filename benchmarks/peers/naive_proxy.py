"""A small HTTP/2 proxy on the h2 library and uvloop: what one writes first. Round robin per request, one upstream
connection per endpoint, flow control from end to end, resets passed on. Usage: naive_proxy.py PORT BACKEND_PORT...

It is a correct baseline, not a straw man: all output of one read leaves in one write per connection, and DATA is
acknowledged only when the other side has taken it.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import uvloop

CONCURRENT_STREAMS = 256


@dataclass(slots=True, eq=False)
class Half:
    """One side of a relayed stream: where to send, and what the peer's window has kept back."""

    link: Link
    stream_id: int
    other: Half | None = None
    waiting: list[tuple[bytes, int]] = field(default_factory=list)  # (data, bytes to acknowledge)
    trailers: list[tuple[bytes, bytes]] | None = None
    has_end: bool = False


class Link(asyncio.Protocol):
    """One HTTP/2 connection, on either side."""

    def __init__(self, proxy: Proxy, client_side: bool) -> None:
        self.proxy = proxy
        config = h2.config.H2Configuration(client_side=client_side, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.local_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = CONCURRENT_STREAMS
        self.halves: dict[int, Half] = {}
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one, without saying so
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        for half in list(self.halves.values()):
            if half.other:
                half.other.link.reset(half.other)
        self.proxy.flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            events = []
        for event in events:
            self.dispatch(event)
        self.proxy.dirty.add(self)
        self.proxy.flush()

    def dispatch(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                self.on_request(event)
            case h2.events.ResponseReceived():
                self.on_response(event)
            case h2.events.DataReceived():
                self.on_data(event)
            case h2.events.TrailersReceived():
                self.on_trailers(event)
            case h2.events.StreamEnded():
                self.on_end(event)
            case h2.events.StreamReset():
                self.on_reset(event)
            case h2.events.WindowUpdated(stream_id=stream_id):
                self.on_window(stream_id or 0)
            case h2.events.RemoteSettingsChanged():
                self.on_window(0)
            case h2.events.ConnectionTerminated():
                self.close()

    def on_request(self, event: h2.events.RequestReceived) -> None:
        assert event.stream_id is not None
        half = self.halves[event.stream_id] = Half(self, event.stream_id)
        link = next(self.proxy.upstreams)
        if link.transport is None:
            self.reset(half)
            return
        stream_id = link.h2.get_next_available_stream_id()
        try:
            link.h2.send_headers(stream_id, event.headers or [])
        except h2.exceptions.ProtocolError:
            self.reset(half)
            return
        half.other = link.halves[stream_id] = Half(link, stream_id, half)
        self.proxy.dirty.add(link)

    def on_response(self, event: h2.events.ResponseReceived) -> None:
        half = self.halves.get(event.stream_id or 0)
        if half and half.other and event.headers is not None:
            half.other.link.h2.send_headers(half.other.stream_id, event.headers)
            self.proxy.dirty.add(half.other.link)

    def on_data(self, event: h2.events.DataReceived) -> None:
        length = event.flow_controlled_length or 0
        half = self.halves.get(event.stream_id or 0)
        if half is None or half.other is None:
            self.h2.acknowledge_received_data(length, event.stream_id or 0)
            return
        half.other.waiting.append((event.data or b"", length))
        half.other.link.push(half.other)

    def on_trailers(self, event: h2.events.TrailersReceived) -> None:
        half = self.halves.get(event.stream_id or 0)
        if half and half.other and event.headers is not None:
            half.other.trailers = [(bytes(name), bytes(value)) for name, value in event.headers]

    def on_end(self, event: h2.events.StreamEnded) -> None:
        half = self.halves.get(event.stream_id or 0)
        if half and half.other:
            half.other.has_end = True
            half.other.link.push(half.other)

    def on_reset(self, event: h2.events.StreamReset) -> None:
        half = self.halves.pop(event.stream_id or 0, None)
        if half and half.other:
            half.other.link.reset(half.other)

    def on_window(self, stream_id: int) -> None:
        for half in [self.halves[stream_id]] if stream_id in self.halves else list(self.halves.values()):
            self.push(half)

    def push(self, half: Half) -> None:
        """Sends what the window allows, and the end once everything is out."""
        try:
            while half.waiting and self.send_first(half):
                pass
            if half.has_end and not half.waiting:
                self.send_end(half)
        except h2.exceptions.ProtocolError:
            self.reset(half)
        self.proxy.dirty.add(self)

    def send_first(self, half: Half) -> bool:
        """Sends one piece or a part of it; False when the window is used up."""
        data, acknowledge = half.waiting[0]
        window = self.h2.local_flow_control_window(half.stream_id)
        room = min(window, self.h2.max_outbound_frame_size)
        if data and room <= 0:
            return False
        whole = len(data) <= room
        self.h2.send_data(half.stream_id, data if whole else data[:room])
        half.waiting[0] = (data[room:], acknowledge)
        if whole:
            half.waiting.pop(0)
            self.acknowledge(half.other, acknowledge)
        return True

    def acknowledge(self, source: Half | None, length: int) -> None:
        if source and length:
            try:
                source.link.h2.acknowledge_received_data(length, source.stream_id)
            except h2.exceptions.ProtocolError:
                return
            self.proxy.dirty.add(source.link)

    def send_end(self, half: Half) -> None:
        half.has_end = False
        if half.trailers:
            self.h2.send_headers(half.stream_id, half.trailers, end_stream=True)
        else:
            self.h2.end_stream(half.stream_id)
        if not self.h2.config.client_side:
            self.halves.pop(half.stream_id, None)
            if half.other:
                half.other.link.halves.pop(half.other.stream_id, None)

    def reset(self, half: Half) -> None:
        self.halves.pop(half.stream_id, None)
        try:
            self.h2.reset_stream(half.stream_id, 8)
        except h2.exceptions.ProtocolError:
            return
        self.proxy.dirty.add(self)

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if data and self.transport:
            self.transport.write(data)

    def close(self) -> None:
        if self.transport:
            self.transport.close()


class Proxy:
    """The upstream connections, and the links that have something to write."""

    def __init__(self) -> None:
        self.upstreams: Iterator[Link] = iter(())
        self.dirty: set[Link] = set()

    def flush(self) -> None:
        while self.dirty:
            self.dirty.pop().flush()

    async def run(self, port: int, backends: list[int]) -> None:
        loop = asyncio.get_running_loop()
        links = [
            (await loop.create_connection(lambda: Link(self, True), "127.0.0.1", backend))[1] for backend in backends
        ]
        self.upstreams = itertools.cycle(links)
        server = await loop.create_server(lambda: Link(self, False), "127.0.0.1", port, backlog=1024)
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(Proxy().run(int(sys.argv[1]), [int(backend) for backend in sys.argv[2:]]))
