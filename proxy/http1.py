"""The HTTP/1 side of one direction: its clients' connections, its endpoints' connections, and their clocks.

Made where HTTP/1 is first spoken, so that a proxy which serves gRPC alone does not pay for it.
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any

from proxy.codec.h1_memo import HeadMemo
from proxy.codec.limits import Limits
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import ReadBuffer
from proxy.net.http1_adapter import flush_http1
from proxy.net.http1_listener import Http1Listener
from proxy.net.http1_pool import Http1Pool
from proxy.net.turns import tell_due
from proxy.relay.http1.link import Link
from proxy.relay.relay import Relay, Route, Tally
from proxy.route import model

_DRAIN_TICK_S = 0.05


class Http1:
    """`route` is for connections to this proxy itself; those that were led here have relays of their own."""

    def __init__(
        self,
        route: Route,
        tally: Tally,
        limits: Limits,
        buffer: ReadBuffer,
        tcp: TcpMetrics,
        upstream_tcp: TcpMetrics,
        settings: model.Settings,
    ) -> None:
        self.relay = Relay(route, random.random, tally)
        self.memo = HeadMemo(limits)
        self.pool = Http1Pool(self.relay, self.memo, buffer, upstream_tcp, settings.upstream_user_timeout_s)
        self.listener = Http1Listener(
            self.relay,
            self.memo,
            buffer,
            tcp,
            settings.idle_timeout_s,
            settings.max_connection_age_s,
            settings.upstream_user_timeout_s,
        )
        self._restrict(settings)

    def dial(self, link: Link) -> None:
        self.pool.dial(link)

    def adopt(self, transport: Any, nbytes: int) -> None:
        """Take over a connection of which `nbytes` have been read into the buffer and are HTTP/1."""
        self.listener.adopt(transport, nbytes)

    def forget_decisions(self) -> None:
        self.relay.forget_decisions()

    def configure(self, settings: model.Settings, limits: Limits) -> None:
        self.memo.configure(limits)
        self.pool.user_timeout_s = self.listener.patience.timeout_s = settings.upstream_user_timeout_s
        self.listener.idle_timeout_s = settings.idle_timeout_s
        self.listener.max_age_s = settings.max_connection_age_s
        self._restrict(settings)

    def _restrict(self, settings: model.Settings) -> None:
        self.listener.head_timeout_s = self.pool.head_timeout_s = settings.head_timeout_s
        self.listener.stalled_timeout_s = settings.stalled_timeout_s
        self.listener.tunnel_timeout_s = settings.tcp_idle_timeout_s

    async def tick(self, now: float) -> None:
        """As `Traffic` has it."""
        await tell_due(self.relay.find_due(now), self.flush, now)
        self.pool.tick()

    async def sweep(self, now: float) -> None:
        """As `Traffic` has it."""
        await self.listener.sweep(now)
        await self.pool.sweep(now)

    def flush(self) -> None:
        flush_http1(self.relay.flushes)

    def count(self) -> int:
        return len(self.listener.adapters)

    async def drain(self, timeout_s: float) -> bool:
        """Tell all clients, and wait for them to end; True where all did within `timeout_s`."""
        deadline_s = monotonic() + timeout_s
        self.listener.drain(monotonic())
        while self.listener.adapters and monotonic() < deadline_s:
            await asyncio.sleep(_DRAIN_TICK_S)
            await self.listener.sweep(monotonic())
        has_ended = not self.listener.adapters
        self.listener.abort_all()
        return has_ended

    def close(self) -> None:
        """End everything at once."""
        self.pool.close()
