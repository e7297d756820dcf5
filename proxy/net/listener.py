"""Accepting: a listening socket, and the sweep over what was accepted (idle, half-open, too old, draining)."""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any

from proxy.codec.limits import Limits
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import Adapter, ReadBuffer, flush, tune_socket
from proxy.relay.downstream import Downstream
from proxy.relay.relay import Relay

BACKLOG = 1024
# A client that sends a preface or a frame so slowly holds memory for nothing (slow loris).
_PARTIAL_S = 10.0
# A client that leaves all its windows shut for this long, with responses waiting, will not open them again.
_STALLED_S = 300.0
# After the drain is announced the listener stays open so long: what is in its backlog is accepted, not reset.
_BACKLOG_S = 0.1


class Listener:
    """Clients' connections of one listening socket."""

    def __init__(
        self,
        relay: Relay,
        limits: Limits,
        buffer: ReadBuffer,
        tcp: TcpMetrics,
        idle_timeout_s: float,
        max_age_s: float | None,
        user_timeout_s: float,
    ) -> None:
        self.relay = relay
        self.limits = limits
        self.buffer = buffer
        self.tcp = tcp
        self.idle_timeout_s = idle_timeout_s
        self.max_age_s = max_age_s
        self.user_timeout_s = user_timeout_s
        self.adapters: set[Adapter] = set()
        self.draining = False
        self.server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, reuse_port: bool) -> list[tuple[str, int]]:
        """Bind and accept; OSError where that fails. Returns the addresses."""
        loop = asyncio.get_running_loop()
        accept: Any = self._accept
        self.server = await loop.create_server(accept, host, port, backlog=BACKLOG, reuse_port=reuse_port or None)
        for sock in self.server.sockets:
            tune_socket(sock, self.user_timeout_s)
        return [sock.getsockname()[:2] for sock in self.server.sockets]

    def _accept(self) -> Adapter:
        now = monotonic()
        conn = Downstream(self.relay, self.limits, now)
        adapter = Adapter(conn, self.buffer, self.tcp, self._ended)
        self.adapters.add(adapter)
        return adapter

    def _ended(self, adapter: Adapter, error: str) -> None:
        self.adapters.discard(adapter)

    def sweep(self, now: float) -> None:
        """Every second or so: end what is idle, stuck, too old, or has been told to go."""
        for adapter in list(self.adapters):
            conn = adapter.conn
            assert isinstance(conn, Downstream)
            if conn.closed:
                continue
            if self.draining:
                conn.drain(now)
            if conn.drain_at_s and now >= conn.drain_at_s:
                conn.refuse_more()
            elif self._is_stalled(adapter, now) or self._is_stuck(adapter, now):
                adapter.abort()
            elif self._is_idle(conn, now) or self._is_old(adapter, now):
                conn.drain(now)
        flush(self.relay.flushes)

    def _is_stuck(self, adapter: Adapter, now: float) -> bool:
        """Whether the preface, a frame or a header block has been incomplete for too long, however it dribbles in."""
        conn = adapter.conn
        partial = not conn.peer_settings_seen or adapter.tail or conn.assembling
        if not partial or conn.frames != adapter.frames_before:
            adapter.frames_before = conn.frames
            adapter.whole_s = now
        return now - adapter.whole_s > _PARTIAL_S

    def _is_stalled(self, adapter: Adapter, now: float) -> bool:
        conn = adapter.conn
        if not conn.waiting or conn.guard.data_sent != adapter.sent_before:
            adapter.sent_before = conn.guard.data_sent
            adapter.progress_s = now
        return now - adapter.progress_s > _STALLED_S

    def _is_idle(self, conn: Downstream, now: float) -> bool:
        return conn.open_streams == 0 and now - max(conn.idle_since_s, conn.now) > self.idle_timeout_s

    def _is_old(self, adapter: Adapter, now: float) -> bool:
        """Jittered, so that clients which came together do not leave together."""
        return bool(self.max_age_s) and now - adapter.opened_s > (self.max_age_s or 0.0) * random.uniform(1.0, 1.1)

    async def drain(self, timeout_s: float) -> bool:
        """Announce the end to all, wait for their last streams; True where all ended within `timeout_s`."""
        self.draining = True
        now = monotonic()
        deadline_s = now + timeout_s
        for adapter in self.adapters:
            conn = adapter.conn
            assert isinstance(conn, Downstream)
            conn.drain(now)
        flush(self.relay.flushes)
        await asyncio.sleep(_BACKLOG_S)
        if self.server is not None:
            self.server.close()
        while self.adapters and monotonic() < deadline_s:
            await asyncio.sleep(0.05)
            self.sweep(monotonic())
        ended = not self.adapters
        for adapter in list(self.adapters):
            adapter.abort()
        return ended
