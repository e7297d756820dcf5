"""Dialling: keeps a connection to every endpoint, with backoff and jitter (DESIGN 3.2).

An endpoint counts as connected once it has sent its SETTINGS, which proves that it speaks HTTP/2: what accepts and
stays silent never gets a request.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from proxy.codec.constants import ENHANCE_YOUR_CALM
from proxy.codec.limits import Limits
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import PARTIAL_S, Adapter, ReadBuffer, describe, flush, tune_socket
from proxy.net.log import log_bug, log_endpoint
from proxy.net.patience import Patience, end_gone
from proxy.relay.link import Link
from proxy.relay.relay import Relay
from proxy.relay.upstream import Upstream
from proxy.route.model import join_host_port

_SWEEP_S = 1.0
# So many dials are under way at a time: those of a Service with a thousand pods would hold up the traffic.
MAX_DIALS = 64
_BACKOFF_MIN_S = 0.1
_BACKOFF_MAX_S = 2.0
_BACKOFF_FACTOR = 1.6


class Wanted(Protocol):
    """A link: `removed` where nobody wants its endpoint any more."""

    removed: bool


T = TypeVar("T", bound=Wanted)


class Dials(Generic[T]):
    """What is being dialled: MAX_DIALS at a time, the others wait. `dropped` gets a link that was removed meanwhile."""

    def __init__(self, connect: Callable[[T], Coroutine[Any, Any, None]], dropped: Callable[[T], None]) -> None:
        self.connect = connect
        self.dropped = dropped
        self.tasks: set[asyncio.Task[None]] = set()
        self.queue: deque[T] = deque()

    def begin(self, link: T) -> None:
        if link.removed:
            self.dropped(link)
        elif len(self.tasks) >= MAX_DIALS:
            self.queue.append(link)
        else:
            task = asyncio.get_running_loop().create_task(self.connect(link))
            self.tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        while self.queue and len(self.tasks) < MAX_DIALS:
            self.begin(self.queue.popleft())

    def close(self) -> None:
        """End everything at once."""
        self.queue.clear()
        for task in self.tasks:
            task.cancel()


class Pool:
    """One per direction."""

    def __init__(
        self, relay: Relay, limits: Limits, buffer: ReadBuffer, tcp: TcpMetrics, user_timeout_s: float
    ) -> None:
        self.relay = relay
        self.limits = limits
        self.buffer = buffer
        self.tcp = tcp
        self.user_timeout_s = user_timeout_s
        self.patience: Patience[Adapter] = Patience(user_timeout_s)
        self.adapters: set[Adapter] = set()
        self.loop = asyncio.get_running_loop()
        self.dials: Dials[Link] = Dials(self._connect, self._dropped)
        self.sweeping = self.loop.call_later(_SWEEP_S, self._sweep)

    def dial(self, link: Link) -> None:
        """Called by a link that wants one more connection."""
        self.loop.call_later(backoff_s(link.failures, random.random()), self.dials.begin, link)

    def _dropped(self, link: Link) -> None:
        link.dialling = False

    async def _connect(self, link: Link) -> None:
        host, port = link.endpoint.address
        conn = Upstream(self.relay, link, self.limits, monotonic())
        try:
            async with asyncio.timeout(link.connect_timeout_s):
                transport, adapter = await self.loop.create_connection(  # type: ignore[type-var]
                    lambda: Adapter(conn, self.buffer, self.tcp, self._ended), host, port
                )
        except TimeoutError:
            self._failed(link, "connect timed out")
            return
        except OSError as error:
            self._failed(link, describe(error))
            return
        except Exception as bug:  # Whatever it is, the endpoint must be dialled again.
            log_bug(f"dialling {join_host_port(host, port)}", bug)
            self._failed(link, describe(bug))
            return
        tune_socket(transport.get_extra_info("socket"), self.user_timeout_s)
        self.adapters.add(adapter)
        if adapter.transport is None:
            # It was gone before we heard of it; `_ended` has seen to the link.
            self.adapters.discard(adapter)
            return
        self.loop.call_later(link.connect_timeout_s, self._expect_settings, adapter, conn)

    def _expect_settings(self, adapter: Adapter, conn: Upstream) -> None:
        link = conn.link
        if adapter.transport is None:
            return
        if not conn.peer_settings_seen:
            conn.fault = "it sent no SETTINGS"
            adapter.abort()
        elif link.failures and conn.attached:
            # It lasts, so the next one is dialled at once.
            link.failures = 0
            log_endpoint(f"endpoint {join_host_port(*link.endpoint.address)}: connected")

    def _ended(self, adapter: Adapter, error: str) -> None:
        self.adapters.discard(adapter)
        conn = adapter.conn
        assert isinstance(conn, Upstream)
        link = conn.link
        if not conn.peer_settings_seen:
            detail = conn.fault or error or "it closed the connection"
            self._failed(link, f"no HTTP/2 without TLS there ({detail})")

    def _failed(self, link: Link, error: str) -> None:
        where = f"{join_host_port(*link.endpoint.address)}: {error}"
        if link.failures == 0 and not link.removed:
            log_endpoint(f"endpoint {where}; dialled again until it answers")
        link.cluster.last_error = where
        link.failures += 1
        link.dialling = False
        if not link.conns:
            link.dial_more()

    def _sweep(self) -> None:
        """End connections whose endpoint is gone, or leaves a frame unfinished: nothing can be answered behind it."""
        self.sweeping = self.loop.call_later(_SWEEP_S, self._sweep)
        now = monotonic()
        for adapter in list(self.adapters):
            conn = adapter.conn
            if conn.peer_settings_seen and not conn.closed and adapter.is_stuck(now, PARTIAL_S):
                conn.fail(ENHANCE_YOUR_CALM, "incomplete frame")
        self.patience.timeout_s = self.user_timeout_s
        end_gone(self.patience, self.adapters, Adapter.is_doubtful, now)
        flush(self.relay.flushes)

    def close(self) -> None:
        """End everything at once."""
        self.dials.close()
        self.sweeping.cancel()
        for adapter in list(self.adapters):
            adapter.abort()


def backoff_s(failures: int, chance: float) -> float:
    """How long to wait before the next dial after so many that failed in a row; `chance`, of [0, 1), is the jitter."""
    if not failures:
        return 0.0
    delay_s = min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * _BACKOFF_FACTOR ** min(failures - 1, 30))
    return delay_s * (0.5 + 0.5 * chance)
