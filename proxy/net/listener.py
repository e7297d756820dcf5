"""Accepting: a listening socket, and the sweep over what was accepted (idle, half-open, too old, draining)."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from proxy.codec.limits import Limits
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import Adapter, ReadBuffer, flush, tune_socket
from proxy.net.log import log_bug
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

    def configure(self, limits: Limits, idle_timeout_s: float, max_age_s: float | None, user_timeout_s: float) -> None:
        """Timeouts of all connections, limits and socket options of those to come."""
        self.limits = limits
        self.idle_timeout_s = idle_timeout_s
        self.max_age_s = max_age_s
        self.user_timeout_s = user_timeout_s
        for sock in self.server.sockets if self.server is not None else ():
            tune_socket(sock, user_timeout_s)

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
            try:
                self._look_at(adapter, now)
            except Exception as bug:  # One connection's bug must not keep the others from their timeouts.
                log_bug("a connection was ended by a bug in the proxy", bug)
                adapter.abort()
        flush(self.relay.flushes)

    def _look_at(self, adapter: Adapter, now: float) -> None:
        conn = adapter.conn
        assert isinstance(conn, Downstream)
        if conn.closed:
            return
        if self._is_stalled(adapter, now) or self._is_stuck(adapter, now):
            adapter.abort()
        elif conn.drain_at_s:
            if now >= conn.drain_at_s:
                conn.refuse_more()
        elif self.draining or self._is_idle(conn, now) or self._is_old(adapter, now):
            conn.drain(now)

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
        """With up to a tenth more, so that clients which came together do not leave together.

        The part is drawn once, from the microsecond of its beginning: drawn at each look, the least would win.
        """
        if not self.max_age_s:
            return False
        part = adapter.opened_s * 1e6 % 1000.0 / 1000.0
        return now - adapter.opened_s > self.max_age_s * (1.0 + 0.1 * part)

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
