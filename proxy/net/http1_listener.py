"""Clients' HTTP/1 connections of one direction, wherever they were accepted, and the sweep over them.

`make_adapter` is what to give to `loop.create_server`, or to `loop.connect_accepted_socket` for a socket that somebody
has peeked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from time import monotonic
from typing import Any

from proxy.codec.h1_connection import HEAD, TUNNEL
from proxy.codec.h1_memo import HeadMemo
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import ReadBuffer, count_unsent
from proxy.net.http1_adapter import Http1Adapter, flush_http1
from proxy.net.kernel import NOTHING, ask_kernel
from proxy.net.listener import STALLED_S, is_old
from proxy.net.log import log_bug
from proxy.net.patience import Patience, end_gone, give_up
from proxy.net.relief import HOLDS_TOO_MUCH, count_unwritten
from proxy.net.room import Idle
from proxy.net.turns import in_turns
from proxy.relay.http1.downstream import DRAIN_IDLE_S, Downstream
from proxy.relay.relay import Relay, Tally

# A client that sends a head so slowly holds memory for nothing (slow loris).
HEAD_TIMEOUT_S = 10.0
# A WebSocket on which nothing moves is ended like a raw connection: both ends may be long gone.
TUNNEL_TIMEOUT_S = 86_400.0


class Watched:
    """What the sweep has seen of a connection: its state, and since when that has not changed.

    `asked` is how much had come for the client when it was last asked whether it is in doubt. `is_busy`: it has an
    endpoint's connection, or may have one in a moment, since it has not been looked at yet.
    """

    __slots__ = ("asked", "is_busy", "mark", "since_s")

    def __init__(self, now: float) -> None:
        self.is_busy = True
        self.asked: tuple[int, bool, float] = (0, True, 0.0)
        self.mark: tuple[object, ...] = ()
        self.since_s = now


class Http1Listener:
    """One per direction. Timeouts are in seconds; `max_age_s` None means none."""

    def __init__(
        self,
        relay: Relay,
        memo: HeadMemo,
        buffer: ReadBuffer,
        tcp: TcpMetrics,
        idle_timeout_s: float,
        max_age_s: float | None = None,
        user_timeout_s: float = 20.0,
    ) -> None:
        self.relay = relay
        self.memo = memo
        self.buffer = buffer
        self.tcp = tcp
        self.idle_timeout_s = idle_timeout_s
        self.max_age_s = max_age_s
        self.head_timeout_s = HEAD_TIMEOUT_S
        self.stalled_timeout_s = STALLED_S
        self.tunnel_timeout_s = TUNNEL_TIMEOUT_S
        self.adapters: dict[Http1Adapter, Watched] = {}
        self.patience: Patience[Http1Adapter] = Patience(user_timeout_s)
        self.draining = False
        self.busy = 0

    def make_adapter(self, relay: Relay | None = None, memo: HeadMemo | None = None) -> Http1Adapter:
        """For a connection that was accepted here, or elsewhere with a relay and a memo of its own."""
        now = monotonic()
        conn = Downstream(relay or self.relay, memo or self.memo, now)
        if self.draining:
            conn.drain(now)
        adapter = Http1Adapter(conn, self.buffer, self.tcp, self._ended)
        self.adapters[adapter] = Watched(now)
        self.busy += 1
        return adapter

    def adopt(self, transport: Any, nbytes: int) -> None:
        """Go on with a connection that was taken for another protocol; so many of its bytes are in the buffer."""
        adapter = self.make_adapter()
        transport.set_protocol(adapter)
        adapter.connection_made(transport)
        self.tcp.opened -= 1  # it was counted when it was accepted, and so were its bytes
        self.tcp.read_bytes -= nbytes
        adapter.buffer_updated(nbytes)

    def _ended(self, adapter: Http1Adapter, error: str) -> None:
        watched = self.adapters.pop(adapter, None)
        if watched is not None:
            self.busy -= watched.is_busy

    async def sweep(self, now: float) -> None:
        """Every second or so: end what is idle, stuck, too old, or has been told to go."""
        async for adapter, watched in in_turns(list(self.adapters.items())):
            try:
                self._look_at(adapter, watched, now)
            except Exception as bug:  # One connection's bug must not keep the others from their timeouts.
                log_bug("a connection was ended by a bug in the proxy", bug)
                adapter.abort()
            flush_http1(self.relay.flushes)
            if adapter in self.adapters:
                is_busy = adapter.conn.owner is not None
                self.busy += is_busy - watched.is_busy
                watched.is_busy = is_busy
        await end_gone(self.patience, self.adapters, self._is_doubtful, now)
        flush_http1(self.relay.flushes)

    def _is_doubtful(self, adapter: Http1Adapter) -> bool:
        """Whether the client was sent something since this was last asked, or has not taken all, for `patience`."""
        conn, watched = adapter.conn, self.adapters[adapter]
        owner = conn.owner
        heard_s = owner.up.now if owner is not None and owner.up is not None else 0.0
        asked = (conn.messages, owner is None, heard_s)
        has_sent = asked != watched.asked
        watched.asked = asked
        return has_sent or conn.closed or count_unwritten(adapter.transport) > 0

    def _look_at(self, adapter: Http1Adapter, watched: Watched, now: float) -> None:
        conn = adapter.conn
        assert isinstance(conn, Downstream)
        if conn.closed:
            return
        since_s = watch(adapter, conn, watched, now)
        if conn.owner is not None and adapter.read_paused and self._is_over(adapter, now):
            return
        if conn.owner is not None:
            if now - since_s > (self.tunnel_timeout_s if conn.reading == TUNNEL else self.stalled_timeout_s):
                adapter.abort()
            elif is_due(conn) and now - since_s > self.head_timeout_s:
                conn.head_timed_out()
        elif adapter.tail and conn.reading == HEAD:
            if now - since_s > self.head_timeout_s:
                conn.head_timed_out()
        elif conn.drain_at_s:
            if now >= max(conn.drain_at_s, conn.idle_since_s + DRAIN_IDLE_S):
                conn.close()
        elif now - max(conn.idle_since_s, conn.now) > self.idle_timeout_s:
            conn.close()
        if is_old(adapter.opened_s, self.max_age_s, now):
            conn.drain(now)

    def _is_over(self, adapter: Http1Adapter, now: float) -> bool:
        """Whether a client that is not read just now has gone, which nobody but the kernel could say."""
        owner = adapter.conn.owner
        answer = ask_kernel(adapter.transport.get_extra_info("socket").fileno()) if adapter.transport else NOTHING
        if answer.is_closed:
            give_up(adapter)
        elif answer.has_ended and owner.request_end:
            owner.half_closed(now)
        return answer.is_closed

    # ---- as a kind of clients (`room`, `relief`)

    def count(self) -> int:
        return len(self.adapters)

    def count_descriptors(self) -> int:
        """With those of the endpoints that serve them: each request has one for itself."""
        return len(self.adapters) + self.busy

    def count_expected(self) -> int:
        return 0

    def find_idle(self) -> Iterator[Idle | None]:
        for adapter in list(self.adapters):
            conn = adapter.conn
            assert isinstance(conn, Downstream)
            if conn.owner is None and adapter.transport is not None and adapter in self.adapters:
                since_s = max(conn.idle_since_s, conn.now)
                yield Idle(conn.messages > 0, since_s, partial(self._evict, adapter))
            else:
                yield None

    def _evict(self, adapter: Http1Adapter) -> None:
        self._ended(adapter, "")
        adapter.abort()

    def find_held(self) -> Iterator[tuple[int, Http1Adapter]]:
        for adapter in list(self.adapters):
            owner = adapter.conn.owner
            # What was read and waits for its turn, and a body that is kept for a second attempt, or for a connection.
            size = count_unwritten(adapter.transport) + len(adapter.tail)
            if owner is not None and owner.body is not None:
                size += owner.body_bytes
            if owner is not None and owner.up is not None and owner.up.io is not None:
                size += count_unwritten(owner.up.io.transport) + len(owner.up.io.tail)
            yield size, adapter

    def end_held(self, one: Http1Adapter, tally: Tally) -> None:
        tally.protocol_fault("downstream", HOLDS_TOO_MUCH)
        one.abort()

    # ---- the end

    def drain(self, now: float) -> None:
        """Tell all; those that come from now on are told with their first answer."""
        self.draining = True
        for adapter in self.adapters:
            conn = adapter.conn
            assert isinstance(conn, Downstream)
            conn.drain(now)
        flush_http1(self.relay.flushes)

    def abort_all(self) -> None:
        """The deadline has passed."""
        for adapter in list(self.adapters):
            adapter.abort()


def is_due(conn: Downstream) -> bool:
    """Whether the client owes us the rest of its trailers, which come as soon, and as whole, as a head."""
    return conn.is_in_trailers() and not conn.paused


def watch(adapter: Http1Adapter, conn: Downstream, watched: Watched, now: float) -> float:
    """Since when nothing has moved: no whole head, no body either way while one of the two sides waits for the other.

    A response that has not begun is the route's timeout's business, not a stall.
    """
    if conn.owner is None:
        mark: tuple[object, ...] = (conn.messages, bool(adapter.tail))
    elif is_due(conn):
        mark = (conn.messages, "trailers")
    elif conn.blocked:
        mark = (conn.messages, adapter.transport.get_write_buffer_size() if adapter.transport else 0)
    elif conn.reading == TUNNEL:
        mark = (conn.now, conn.owner.up.now if conn.owner.up is not None else 0.0)
    elif not conn.owner.request_end and not conn.paused:
        mark = (conn.messages, conn.now)
    elif not conn.owner.request_end and conn.owner.up is not None and conn.owner.up.io is not None:
        # Its endpoint takes nothing more just now.
        transport = conn.owner.up.io.transport
        mark = (conn.messages, conn.now, count_unsent(transport) if transport is not None else 0)
    else:
        mark = (now,)
    if mark != watched.mark:
        watched.mark = mark
        watched.since_s = now
    return watched.since_s
