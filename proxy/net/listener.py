"""Accepting: a listening socket, and the sweep over what was accepted (idle, half-open, too old, gone, draining).

Invariant: nobody is served for whom there is no room (`room`), whoever accepted him.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import Any

from proxy.codec.constants import ENHANCE_YOUR_CALM
from proxy.codec.limits import Limits
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import PARTIAL_S, Adapter, ReadBuffer, flush, tune_socket
from proxy.net.log import log_bug
from proxy.net.patience import Patience, end_gone
from proxy.net.relief import HOLDS_TOO_MUCH, count_unwritten
from proxy.net.room import Idle, Room
from proxy.net.turns import in_turns
from proxy.relay.downstream import Downstream
from proxy.relay.relay import Relay, Tally
from proxy.route.model import Settings

BACKLOG = 1024
# A connection can be ended once it is made, which is a turn of the loop or two after it was accepted.
_REFUSED_S = 0.01
# A client that leaves all its windows shut for this long, with responses waiting, will not open them again.
STALLED_S = 300.0
# After the drain is announced the listener stays open so long: what is in its backlog is accepted, not reset.
_BACKLOG_S = 0.1
# Up to so many streams what they hold is not added up: it cannot be much but by windows that grew, which are bounded by
# themselves.
_FEW_STREAMS = 512


class Listener:
    """Clients' connections of HTTP/2, of one listening socket and from elsewhere. `room` is for other kinds as well."""

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
        self.head_timeout_s = PARTIAL_S
        self.stalled_timeout_s = STALLED_S
        self.adapters: set[Adapter] = set()
        self.draining = False
        self.room = Room(relay.tally)
        self.room.join(self)
        self.patience: Patience[Adapter] = Patience(user_timeout_s)
        self.server: asyncio.Server | None = None
        # Takes a transport that turns out to speak HTTP/1, of which so many bytes are in the buffer.
        self.take_http1: Callable[[Any, int], None] | None = None

    async def listen(self, host: str, port: int, reuse_port: bool) -> list[tuple[str, int]]:
        """Bind and accept; OSError where that fails. Returns the addresses."""
        self.bound_connections()
        loop = asyncio.get_running_loop()
        accept: Any = self.make_adapter
        self.server = await loop.create_server(accept, host, port, backlog=BACKLOG, reuse_port=reuse_port or None)
        for sock in self.server.sockets:
            tune_socket(sock, self.user_timeout_s)
        return [sock.getsockname()[:2] for sock in self.server.sockets]

    def configure(self, limits: Limits, idle_timeout_s: float, max_age_s: float | None, user_timeout_s: float) -> None:
        """Timeouts of all connections, limits and socket options of those to come."""
        self.limits = limits
        self.idle_timeout_s = idle_timeout_s
        self.max_age_s = max_age_s
        self.user_timeout_s = self.patience.timeout_s = user_timeout_s
        for sock in self.server.sockets if self.server is not None else ():
            tune_socket(sock, user_timeout_s)

    def restrict(self, settings: Settings) -> None:
        """What clients may hold, and for how long."""
        self.head_timeout_s = settings.head_timeout_s
        self.stalled_timeout_s = settings.stalled_timeout_s
        self.room.max_connections = settings.max_connections
        self.room.max_held_bytes = settings.max_buffered_bytes

    def bound_connections(self, directions: int = 1) -> None:
        """Before anybody is accepted, here or elsewhere; so many directions share the process."""
        self.room.measure(directions)

    def make_adapter(self, relay: Relay | None = None) -> Adapter:
        """For a connection that was accepted here, or elsewhere with a relay of its own."""
        now = monotonic()
        conn = Downstream(relay or self.relay, self.limits, now)
        adapter = Adapter(conn, self.buffer, self.tcp, self._ended, self._hand_over)
        if not self.room.admit():
            adapter.hand_over = None  # whatever it speaks
            asyncio.get_running_loop().call_later(_REFUSED_S, adapter.abort)
        self.adapters.add(adapter)
        return adapter

    def _end(self, adapter: Adapter, reason: str) -> None:
        """For a reason that is counted; without GOAWAY, which who holds us up would not read."""
        adapter.conn.fault = reason
        adapter.abort()

    def _ended(self, adapter: Adapter, error: str) -> None:
        self.adapters.discard(adapter)

    def _hand_over(self, adapter: Adapter, nbytes: int) -> None:
        if self.take_http1 is None:
            self._end(adapter, "HTTP/1 on a port for HTTP/2")
            return
        self.adapters.discard(adapter)
        self.take_http1(adapter.release(), nbytes)

    async def sweep(self, now: float) -> None:
        """Every second or so: end what is idle, stuck, too old, or has been told to go."""
        async for adapter in in_turns(list(self.adapters)):
            try:
                self._look_at(adapter, now)
            except Exception as bug:  # One connection's bug must not keep the others from their timeouts.
                log_bug("a connection was ended by a bug in the proxy", bug)
                adapter.abort()
            flush(self.relay.flushes)
        await end_gone(self.patience, self.adapters, Adapter.is_doubtful, now)
        await self.room.relieve()
        flush(self.relay.flushes)

    def _look_at(self, adapter: Adapter, now: float) -> None:
        conn = adapter.conn
        assert isinstance(conn, Downstream)
        if conn.closed:
            return
        if self._is_stalled(adapter, now):
            self._end(adapter, "windows shut")
        elif adapter.is_stuck(now, self.head_timeout_s):
            if conn.preface_seen:
                conn.fail(ENHANCE_YOUR_CALM, "incomplete frame")
            else:
                self._end(adapter, "incomplete preface")
        elif conn.drain_at_s:
            if now >= conn.drain_at_s:
                conn.refuse_more()
        elif self.draining or self._is_idle(conn, now) or is_old(adapter.opened_s, self.max_age_s, now):
            conn.drain(now)

    def _is_stalled(self, adapter: Adapter, now: float) -> bool:
        conn = adapter.conn
        if not conn.waiting or conn.guard.data_sent != adapter.sent_before:
            adapter.sent_before = conn.guard.data_sent
            adapter.progress_s = now
        return now - adapter.progress_s > self.stalled_timeout_s

    def _is_idle(self, conn: Downstream, now: float) -> bool:
        return conn.open_streams == 0 and now - max(conn.idle_since_s, conn.now) > self.idle_timeout_s

    # ---- as a kind of clients (`room`, `relief`)

    def count(self) -> int:
        return len(self.adapters)

    def count_descriptors(self) -> int:
        return len(self.adapters)

    def count_expected(self) -> int:
        return 0

    def find_idle(self) -> Iterator[Idle | None]:
        for adapter in list(self.adapters):
            conn = adapter.conn
            assert isinstance(conn, Downstream)
            if conn.open_streams == 0 and adapter.transport is not None and adapter in self.adapters:
                since_s = max(conn.idle_since_s, conn.now)
                yield Idle(conn.last_peer_id != 0, since_s, partial(self._evict, adapter))
            else:
                yield None

    def _evict(self, adapter: Adapter) -> None:
        self.adapters.discard(adapter)
        adapter.abort()

    def find_held(self) -> Iterator[tuple[int, Adapter]]:
        counts = sum(adapter.conn.open_streams for adapter in self.adapters) > _FEW_STREAMS
        for adapter in list(self.adapters):
            conn = adapter.conn
            assert isinstance(conn, Downstream)
            size = count_unwritten(adapter.transport)
            if counts and conn.open_streams:
                size += conn.count_held()
            yield size, adapter

    def end_held(self, one: Adapter, tally: Tally) -> None:
        if one.conn.closed:
            tally.protocol_fault("downstream", HOLDS_TOO_MUCH)
            one.abort()
        else:
            one.conn.fail(ENHANCE_YOUR_CALM, HOLDS_TOO_MUCH)

    # ---- the end

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
            await self.sweep(monotonic())
        ended = not self.adapters
        for adapter in list(self.adapters):
            adapter.abort()
        return ended


def is_old(opened_s: float, max_age_s: float | None, now: float) -> bool:
    """With up to a tenth more, so that clients which came together do not leave together.

    The part is drawn once, from the microsecond of its beginning: drawn at each look, the least would win.
    """
    if not max_age_s:
        return False
    part = opened_s * 1e6 % 1000.0 / 1000.0
    return now - opened_s > max_age_s * (1.0 + 0.1 * part)
