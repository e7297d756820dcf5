"""Raw TCP connections of one direction: begun with an accepted socket and a way, swept, drained (DESIGN 3.5).

No task and no timer per connection: the loop calls a flow when its socket has something, and one sweep keeps all
deadlines. What silence made opaque teaches a hint where the server then spoke first.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import monotonic

from proxy.codec.detect import NAMES
from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import ReadBuffer
from proxy.net.log import log_bug
from proxy.net.opaque_connection import OpaqueConnection
from proxy.net.opaque_flow import Workshop
from proxy.net.opaque_pipes import Pipes
from proxy.net.poll import Watcher
from proxy.relay.opaque import Address, Way
from proxy.route.hints import Hints

# Long: pools of database connections rest for hours, and a dead peer is found by keepalive long before.
IDLE_TIMEOUT_S = 86_400.0
# How often idle connections are looked for, and how exact the timeout is, as a part of it.
_IDLE_PART = 16
# The same for peers that are owed something and do not answer.
_PROBE_PART = 4


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
        self.next_idle_s = 0.0
        self.next_probe_s = 0.0

    def begin(self, sock: socket.socket, way: Way, original: Address | None = None, is_silent: bool = False) -> None:
        """Serve an accepted socket, of which nothing has been read. `is_silent`: its client has said nothing yet."""
        self.downstream_tcp.opened += 1
        conn = OpaqueConnection(self, sock, way, original, is_silent)
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

    def sweep(self, now: float) -> None:
        """To be called every tenth of a second or so."""
        for conn in list(self.opening):
            self._tend(conn, conn.tick, now)
        if now >= self.next_probe_s:
            self.next_probe_s = now + self.user_timeout_s / _PROBE_PART
            for conn in list(self.connections):
                self._tend(conn, conn.probe, now)
        if now >= self.next_idle_s:
            self.next_idle_s = now + self.idle_timeout_s / _IDLE_PART
            for conn in list(self.connections):
                self._tend(conn, conn.rest, now)

    def _tend(self, conn: OpaqueConnection, what: Callable[[float], None], now: float) -> None:
        try:
            what(now)
        except Exception as bug:  # One connection's bug must not keep the others from their timeouts.
            log_bug("a connection was ended by a bug in the proxy", bug)
            conn.abort("")

    async def drain(self, timeout_s: float) -> bool:
        """Wait for the peers to end their connections; reset what is left. True where all ended within `timeout_s`."""
        deadline_s = monotonic() + timeout_s
        while self.connections and monotonic() < deadline_s:
            await asyncio.sleep(0.05)
            self.sweep(monotonic())
        has_ended = not self.connections
        self.close()
        return has_ended

    def close(self) -> None:
        """End everything at once. A cut conversation is reset: an orderly end would pass for a whole one."""
        for conn in list(self.connections):
            conn.abort("")
        self.pipes.close()
