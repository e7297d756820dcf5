"""Raw TCP connections of one direction: begun with an accepted socket and a way, swept, drained (DESIGN 3.5).

No task and no timer per connection: the loop calls a flow when its socket has something, and one sweep keeps all
deadlines. What silence made opaque teaches a hint where the server then spoke first.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic

from proxy.codec.detect import NAMES
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import ReadBuffer
from proxy.net.log import log_bug
from proxy.net.opaque_connection import OpaqueConnection
from proxy.net.opaque_flow import Flow, Owner, Workshop
from proxy.net.opaque_pipes import Pipes
from proxy.net.patience import LOOK_PART, Patience, make_timeout
from proxy.net.poll import Watcher
from proxy.net.relief import HOLDS_TOO_MUCH
from proxy.net.room import Idle
from proxy.net.turns import in_turns
from proxy.relay.opaque import Address, Way
from proxy.relay.relay import Tally
from proxy.route.hints import Hints

# Long: pools of database connections rest for hours, and a dead peer is found by keepalive long before.
IDLE_TIMEOUT_S = 86_400.0
# How often idle connections are looked for, and how exact the timeout is, as a part of it.
_IDLE_PART = 1 / 16


class OpaqueRelay:
    """One per direction. `upstream_tcp` names the metrics of a way that is connected; `is_forbidden` an address that
    must not be connected to (our own); `reclaimed(sock, original, kind)` gets a client that spoke HTTP late."""

    def __init__(
        self,
        watcher: Watcher,
        direction: str,
        counts: ConnectionCounts,
        buffer: ReadBuffer,
        hints: Hints,
        rng: Callable[[], float],
        downstream_tcp: TcpMetrics,
        upstream_tcp: Callable[[Way], TcpMetrics],
        is_forbidden: Callable[[Address], bool],
        reclaimed: Callable[[socket.socket, Address | None, int], None],
        user_timeout_s: float = 20.0,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        self.direction = direction
        self.counts = counts
        self.hints = hints
        self.rng = rng
        self.downstream_tcp = downstream_tcp
        self.upstream_tcp = upstream_tcp
        self.is_forbidden = is_forbidden
        self.reclaimed = reclaimed
        self.user_timeout_s = user_timeout_s
        self.idle_timeout_s = idle_timeout_s
        self.loop = watcher
        self.pipes = Pipes()
        self.shop = Workshop(watcher, buffer, self.pipes)
        self.connections: set[OpaqueConnection] = set()
        self.opening: set[OpaqueConnection] = set()
        self.patience: Patience[Flow] = Patience(user_timeout_s)
        self.next_look_s = 0.0

    def begin(
        self,
        sock: socket.socket,
        way: Way,
        original: Address | None = None,
        is_silent: bool = False,
        has_spoken: bool = False,
    ) -> None:
        """Serve an accepted socket, of which nothing has been read.

        Its client was waited for and said nothing (`is_silent`), or its first bytes were seen (`has_spoken`).
        """
        self.downstream_tcp.opened += 1
        conn = OpaqueConnection(self, sock, way, original, is_silent, has_spoken)
        self.connections.add(conn)
        self.opening.add(conn)
        conn.tick(monotonic())

    # ---- a connection's side

    def ended(self, conn: OpaqueConnection, errno_name: str) -> None:
        self.downstream_tcp.close(errno_name)
        self.connections.discard(conn)
        self.opening.discard(conn)

    def reclaim(self, sock: socket.socket, original: Address | None, kind: int) -> None:
        self.counts.detections.add(self.direction, NAMES[kind], "late")
        self.reclaimed(sock, original, kind)

    def failed(self, reason: str) -> None:
        self.counts.failures.add(reason)

    def connect_failed(self, errno_name: str) -> None:
        self.counts.connect_failures.add(self.direction, errno_name)

    # ---- from time to time

    async def tick(self, now: float) -> None:
        """To be called every tenth of a second or so: who is being connected."""
        async for conn in in_turns([conn for conn in self.opening if conn.is_due(now)]):
            if conn in self.opening:
                self._tend(conn, partial(conn.tick, now))

    async def sweep(self, now: float) -> None:
        """Every second or so: end those whose peer is gone, and those that nobody uses."""
        if now < self.next_look_s:
            return
        self.next_look_s = now + min(self.user_timeout_s * LOOK_PART, self.idle_timeout_s * _IDLE_PART)
        self.patience.timeout_s = self.user_timeout_s
        self.patience.begin()
        async for conn in in_turns(list(self.connections)):
            if not conn.closed:
                self._tend(conn, partial(self._look_at, conn, now))

    def _look_at(self, conn: OpaqueConnection, now: float) -> None:
        before = self.patience.before
        is_doubtful = conn.has_moved(now) or conn.outward in before or conn.inward in before
        if conn.is_idle(now):
            conn.abort("ETIMEDOUT")
            return
        conn.look_behind_end()
        if is_doubtful:
            for flow in (conn.outward, conn.inward):
                if flow is not None and not conn.closed and self.patience.is_gone(flow, flow.sink.fileno(), now):
                    conn.broken(flow.sink, make_timeout())

    def _tend(self, conn: Owner, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as bug:  # One connection's bug must not keep the others from their timeouts.
            log_bug("a connection was ended by a bug in the proxy", bug)
            conn.abort("")

    # ---- as a kind of clients (`room`, `relief`)

    def count(self) -> int:
        return len(self.connections)

    def count_descriptors(self) -> int:
        return 2 * (len(self.connections) + self.pipes.open)

    def count_expected(self) -> int:
        return 0

    def find_idle(self) -> Iterator[Idle | None]:
        for conn in list(self.connections):
            if conn.closed:
                yield None
                continue
            moved = conn.count_moved()
            since_s = conn.active_s if moved == conn.moved else monotonic()
            # Who has ended without a word was of no use.
            yield Idle(conn.has_spoken or conn.count_bytes() > 0, since_s, partial(conn.abort, ""))

    def find_held(self) -> Iterator[tuple[int, Flow]]:
        for flow in list(self.shop.waiting):
            yield flow.held + len(flow.rest), flow

    def end_held(self, one: Flow, tally: Tally) -> None:
        tally.protocol_fault("downstream", HOLDS_TOO_MUCH)
        one.owner.abort("")

    # ---- the end

    async def drain(self, timeout_s: float) -> bool:
        """Wait for the peers to end their connections; reset what is left. True where all ended within `timeout_s`."""
        deadline_s = monotonic() + timeout_s
        while self.connections and monotonic() < deadline_s:
            await asyncio.sleep(0.05)
            await self.tick(monotonic())
            await self.sweep(monotonic())
        has_ended = not self.connections
        self.close()
        return has_ended

    def close(self) -> None:
        """End everything at once. A cut conversation is reset: an orderly end would pass for a whole one."""
        for conn in list(self.connections):
            conn.abort("")
        self.pipes.close()
