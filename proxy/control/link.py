"""The socket of a call: bytes between asyncio and the sans-I/O connection, and the death of silent peers.

A server that sends nothing for `keepalive_s`, or for 5 s while an answer is due, gets a PING; one that sends nothing
after that is dead, whatever TCP believes. TCP's own timeouts find the host that is gone while we have something to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from proxy.control.call import Call
from proxy.net.adapter import describe
from proxy.net.log import log_bug

SETTINGS_TIMEOUT_S = 5.0
PING_TIMEOUT_S = 10.0
ANSWER_S = 5.0
_CLOSE_S = 1.0
_PING = b"gossamer"


class Link(asyncio.Protocol):
    """`news` is called when something came or the end has come."""

    def __init__(self, call: Call, news: Callable[[], None], now: Callable[[], float]) -> None:
        self.call = call
        self.news = news
        self.now = now
        self.transport: Any = None
        self.opened_s = self.heard_s = now()
        self.pinged_s = -1.0
        self.received_bytes = 0
        self.sent_bytes = 0
        self._tail = b""

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.call.start()
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        self.heard_s = self.now()
        buffer = bytearray(self._tail + data)
        try:
            taken = self.call.feed(buffer, 0, len(buffer), self.heard_s)
            self._tail = bytes(buffer[taken:])
            self.flush()
        except Exception as bug:  # Of ours; the traffic goes on without the control plane.
            log_bug("the connection to the control plane", bug)
            self.call.end(str(bug))
            self.abort()
        self.news()

    def pause_writing(self) -> None:
        self.call.blocked = True

    def resume_writing(self) -> None:
        self.call.unblock()
        self.flush()
        self.news()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.call.lost(describe(exc) or "it closed the connection", self.now())
        self.news()

    # ---- the caller's side

    def flush(self) -> None:
        """Write what the call has to say; a call that has ended says its last."""
        call = self.call
        while call.out:
            data = call.take()
            if self.transport is not None:
                self.sent_bytes += len(data)
                self.transport.write(data)
            if call.waiting and not call.blocked:
                call.pump()
        call.dirty = False
        call.flushes.clear()
        if call.closed:
            call.lost("it closed the connection", self.now())
            self.close()

    def sweep(self, now: float, keepalive_s: float, waiting_since_s: float | None) -> None:
        """Every second or so: find a server that is silent."""
        if not self.call.peer_settings_seen:
            if now - self.opened_s > SETTINGS_TIMEOUT_S:
                self.call.end("it sent no SETTINGS: no gRPC there")
        elif self.heard_s >= self.pinged_s:
            silent = now - self.heard_s >= keepalive_s
            doubtful = waiting_since_s is not None and self.heard_s <= waiting_since_s <= now - ANSWER_S
            if silent or doubtful:
                self.pinged_s = now
                self.call.ping(_PING)
        elif now - self.pinged_s > PING_TIMEOUT_S:
            self.call.end("it does not answer a PING")
        self.flush()

    def close(self) -> None:
        """Send what is queued, and wait a little for it to leave."""
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.close()
            asyncio.get_running_loop().call_later(_CLOSE_S, transport.abort)

    def abort(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()
