"""A server and a client of the codec that note what happens, for the tests of connections without a relay."""

from __future__ import annotations

from typing import Any

from proxy.codec.client import Client
from proxy.codec.headers import HeaderBlock
from proxy.codec.limits import DEFAULT_LIMITS, Limits
from proxy.codec.server import Server
from proxy.codec.stream import Stream
from tests.playbook.voice import Heard, Voice

Event = tuple[Any, ...]


class NotedServer(Server):
    """`events` are (name, stream id, ...)."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(limits, [])
        self.events: list[Event] = []
        self.expired = False

    def request_received(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        self.events.append(("request", stream.id, block.path, end))

    def is_expired(self, stream: Stream) -> bool:
        return self.expired

    def data_received(self, stream: Stream, payload: bytes, end: bool) -> None:
        self.events.append(("data", stream.id, payload, end))

    def trailers_received(self, stream: Stream, block: HeaderBlock) -> None:
        self.events.append(("trailers", stream.id))

    def reset_received(self, stream: Stream, code: int) -> None:
        self.events.append(("reset", stream.id, code))
        self.judge_reset(stream, code)

    def stream_failed(self, stream: Stream, code: int, reason: str) -> None:
        self.events.append(("failed", stream.id, code))
        self.judge_reset(stream, code)

    def stream_closed(self, stream: Stream) -> None:
        self.events.append(("closed", stream.id))

    def goaway_received(self, last_stream_id: int, code: int) -> None:
        self.events.append(("goaway", last_stream_id, code))

    def ping_acked(self, opaque: bytes) -> None:
        self.events.append(("pong", opaque))

    def settings_changed(self) -> None:
        self.events.append(("settings",))

    def lost(self, reason: str, now: float) -> None:
        self.events.append(("lost", reason))


class NotedClient(Client):
    """`events` are (name, stream id, ...)."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        super().__init__(limits, [])
        self.events: list[Event] = []

    def response_received(self, stream: Stream, block: HeaderBlock, end: bool) -> None:
        self.events.append(("response", stream.id, block.status, end))

    def data_received(self, stream: Stream, payload: bytes, end: bool) -> None:
        self.events.append(("data", stream.id, payload, end))

    def trailers_received(self, stream: Stream, block: HeaderBlock) -> None:
        self.events.append(("trailers", stream.id))

    def reset_received(self, stream: Stream, code: int) -> None:
        self.events.append(("reset", stream.id, code))

    def stream_failed(self, stream: Stream, code: int, reason: str) -> None:
        self.events.append(("failed", stream.id, code))

    def stream_closed(self, stream: Stream) -> None:
        self.events.append(("closed", stream.id))

    def goaway_received(self, last_stream_id: int, code: int) -> None:
        self.events.append(("goaway", last_stream_id, code))

    def ping_acked(self, opaque: bytes) -> None:
        self.events.append(("pong", opaque))

    def settings_changed(self) -> None:
        self.events.append(("settings",))

    def lost(self, reason: str, now: float) -> None:
        self.events.append(("lost", reason))


class Talk:
    """One connection and its peer's voice."""

    def __init__(self, conn: Any, settings: dict[int, int] | None = None) -> None:
        self.conn = conn
        self.voice = Voice(is_client=isinstance(conn, Server))
        self.now = 100.0
        conn.start()
        self.say(self.voice.opening(settings))
        conn.events.clear()

    def say(self, data: bytes) -> list[Heard]:
        """The peer says whole frames; what it hears, without the answers to its SETTINGS."""
        buf = bytearray(data)
        taken = self.conn.feed(buf, 0, len(buf), self.now)
        assert taken == len(buf)
        return self.hear()

    def hear(self) -> list[Heard]:
        return self.voice.hear(self.conn.take())

    @property
    def events(self) -> list[Event]:
        events: list[Event] = self.conn.events
        return events

    def fault_code(self) -> int:
        """The code of the GOAWAY that ended the connection."""
        assert self.conn.closed
        return next(heard.code for heard in self.voice.heard if heard.kind == "GOAWAY")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Any frame, legal or not."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload
