"""The attacker's client: a raw socket that says whatever bytes it likes, and hears what becomes of it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from typing import Self

from hpack import Encoder

from tests.e2e.wire import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    Frame,
    Header,
    encode_frame,
    encode_settings,
)

# For hangs only.
END_S = 30.0
# An endpoint of their own, so that what the attackers make it do is not taken for the proxy's.
ATTACKED = "attacked"
NO_SETTINGS: dict[int, int] = {}


class Gone(Exception):
    """The proxy has ended the connection."""


class Attacker:
    """One connection to the proxy."""

    def __init__(self, address: str, settings: dict[int, int] = NO_SETTINGS, opens: bool = True) -> None:
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=END_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.encoder = Encoder()
        self.next_stream = 1
        self.raw = bytearray()
        self.frames: list[Frame] = []
        self.ended = False
        if opens:
            self.attempt(PREFACE + encode_settings(settings) + encode_frame(SETTINGS, 1))

    def headers(
        self, method: str = "wait", authority: str = ATTACKED, end: bool = True, more: Sequence[Header] = ()
    ) -> bytes:
        """The next stream, as bytes to be said at once."""
        fields = [(":method", "POST"), (":scheme", "http"), (":path", f"/e2e.Echo/{method}"), (":authority", authority)]
        block = self.encoder.encode([*fields, ("content-type", "application/grpc"), ("te", "trailers"), *more])
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        return encode_block(stream, block, end)

    @property
    def last_stream(self) -> int:
        return self.next_stream - 2

    def say(self, data: bytes, reads: bool = True, timeout_s: float = END_S) -> None:
        """Send it all, reading meanwhile unless `reads` is False; Gone if the proxy ends the connection first."""
        view = memoryview(data)
        deadline_s = time.monotonic() + timeout_s
        while view:
            if self.ended or time.monotonic() > deadline_s:
                raise Gone
            readable, writable = self._poll(reads, True, 0.2)
            if readable:
                self.hear(0)
            if writable and not self.ended:
                try:
                    view = view[self.socket.send(view) :]
                except BlockingIOError:
                    continue
                except OSError:
                    self.ended = True

    def _poll(self, reads: bool, writes: bool, wait_s: float) -> tuple[bool, bool]:
        """Whether there is something to read, and whether more can be written."""
        poll = select.poll()
        poll.register(self.socket, (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0))
        happened = dict(poll.poll(wait_s * 1000)).get(self.socket.fileno(), 0)
        ended = select.POLLHUP | select.POLLERR
        return bool(happened & (select.POLLIN | ended)), bool(happened & (select.POLLOUT | ended))

    def attempt(self, data: bytes) -> bool:
        """Say it, if the proxy still listens."""
        try:
            self.say(data)
        except Gone:
            return False
        return True

    def flood(self, data: bytes, duration_s: float = 1.0, reads: bool = True) -> None:
        """Say it again and again until the proxy has had enough, or the time is over."""
        until_s = time.monotonic() + duration_s
        try:
            while time.monotonic() < until_s:
                self.say(data, reads, duration_s)
        except Gone:
            pass

    def hear(self, wait_s: float) -> list[Frame]:
        """What has come, and what comes within that time."""
        first = len(self.frames)
        while not self.ended and self._poll(True, False, wait_s)[0]:
            wait_s = 0.0
            try:
                data = self.socket.recv(1 << 18)
            except OSError:
                data = b""
            self.raw += data
            self.ended = not data
            self._parse()
        return self.frames[first:]

    def _parse(self) -> None:
        at, raw = 0, self.raw
        while len(raw) - at >= 9:
            end = at + 9 + int.from_bytes(raw[at : at + 3], "big")
            if end > len(raw):
                break
            number = int.from_bytes(raw[at + 5 : at + 9], "big")
            self.frames.append(Frame(raw[at + 3], raw[at + 4], number, bytes(raw[at + 9 : end])))
            at = end
        del raw[:at]

    def wait_ended(self, timeout_s: float = END_S) -> None:
        """Until the proxy has ended the connection."""
        deadline_s = time.monotonic() + timeout_s
        while not self.ended:
            assert time.monotonic() < deadline_s, "the proxy lets the attacker go on"
            self.hear(0.2)

    @property
    def goaway_code(self) -> int | None:
        """The error code of the last GOAWAY, if one came."""
        codes = [int.from_bytes(frame.payload[4:8], "big") for frame in self.frames if frame.kind == GOAWAY]
        return codes[-1] if codes else None

    @property
    def reset_codes(self) -> list[int]:
        return [int.from_bytes(frame.payload, "big") for frame in self.frames if frame.kind == RST_STREAM]

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def encode_block(stream: int, block: bytes, end: bool) -> bytes:
    """HEADERS and CONTINUATIONs."""
    step = 16_384
    flags = END_STREAM if end else 0
    parts = [block[at : at + step] for at in range(0, len(block), step)] or [b""]
    frames = b""
    for number, part in enumerate(parts):
        last = END_HEADERS if number == len(parts) - 1 else 0
        frames += encode_frame(CONTINUATION if number else HEADERS, last | (0 if number else flags), stream, part)
    return frames
