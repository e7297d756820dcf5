"""Dialling HTTP/1 endpoints: when a request wants a connection, with backoff and jitter where the last dial failed.

Nothing is said on a new connection before there is a request, so that an endpoint counts as connected once TCP is.
"""

from __future__ import annotations

import asyncio
import errno
import random
from time import monotonic

from proxy.codec.h1_memo import HeadMemo
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import ReadBuffer, describe, tune_socket
from proxy.net.dials import Dials
from proxy.net.http1_adapter import Http1Adapter, flush_http1
from proxy.net.http1_listener import HEAD_TIMEOUT_S
from proxy.net.log import log_bug, log_endpoint
from proxy.net.patience import Patience, end_gone
from proxy.net.pool import backoff_s
from proxy.net.relief import count_unwritten
from proxy.relay.http1.link import Link
from proxy.relay.http1.upstream import Upstream
from proxy.relay.relay import Relay
from proxy.route.model import join_host_port

_NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)


class Http1Pool:
    """One per direction. `dial` is what a link is made with."""

    def __init__(
        self, relay: Relay, memo: HeadMemo, buffer: ReadBuffer, tcp: TcpMetrics, user_timeout_s: float
    ) -> None:
        self.relay = relay
        self.memo = memo
        self.buffer = buffer
        self.tcp = tcp
        self.user_timeout_s = user_timeout_s
        self.patience: Patience[Http1Adapter] = Patience(user_timeout_s)
        self.adapters: set[Http1Adapter] = set()
        # When what an endpoint was sent had come, as of when it was last asked whether it is in doubt.
        self.asked: dict[Http1Adapter, float] = {}
        self.head_timeout_s = HEAD_TIMEOUT_S
        # Of endpoints that have begun a head, or trailers: which, and since when.
        self.due: dict[Http1Adapter, tuple[tuple[int, int], float]] = {}
        self.dials: Dials[Link] = Dials(self._connect, self._dropped)
        self.loop = asyncio.get_running_loop()

    def dial(self, link: Link) -> None:
        """Called by a link that wants one more connection."""
        if not link.failures:
            self.dials.begin(link)
            return
        self.loop.call_later(backoff_s(link.failures, random.random()), self.dials.begin, link)

    def _dropped(self, link: Link) -> None:
        link.dialling -= 1

    async def _connect(self, link: Link) -> None:
        host, port = link.endpoint.address
        conn = Upstream(self.relay, link, self.memo, monotonic())
        try:
            async with asyncio.timeout(link.connect_timeout_s):
                transport, adapter = await self.loop.create_connection(  # type: ignore[type-var]
                    lambda: Http1Adapter(conn, self.buffer, self.tcp, self._ended), host, port
                )
        except TimeoutError:
            self._failed(link, "connect timed out")
        except OSError as error:
            self._failed(link, describe(error), error.errno in _NOBODY_THERE)
        except Exception as bug:  # Whatever it is, the endpoint must be dialled again.
            log_bug(f"dialling {join_host_port(host, port)}", bug)
            self._failed(link, describe(bug))
        else:
            self._connected(link, conn, adapter, transport)

    def _connected(self, link: Link, conn: Upstream, adapter: Http1Adapter, transport: asyncio.Transport) -> None:
        if conn.closed or adapter.transport is None:
            self._failed(link, "it closed the connection at once")
            return
        tune_socket(transport.get_extra_info("socket"), self.user_timeout_s)
        self.adapters.add(adapter)
        if link.failures:
            log_endpoint(f"endpoint {join_host_port(*link.endpoint.address)}: connected")
        conn.attach(monotonic())
        flush_http1(self.relay.flushes)

    def _failed(self, link: Link, error: str, is_refused: bool = False) -> None:
        where = f"{join_host_port(*link.endpoint.address)}: {error}"
        # What is foreign to the mesh is the application's business: its answer says so.
        if link.failures == 0 and not link.removed and not (is_refused and link.is_foreign()):
            log_endpoint(f"endpoint {where}; dialled again until it answers")
        # Those who wait go elsewhere.
        self.dials.forget(link)
        link.failed(where, monotonic(), is_refused)
        flush_http1(self.relay.flushes)

    def _ended(self, adapter: Http1Adapter, error: str) -> None:
        self.adapters.discard(adapter)
        self.asked.pop(adapter, None)

    def _is_doubtful(self, adapter: Http1Adapter) -> bool:
        """Whether the endpoint was sent something since this was last asked, or has not taken all, for `patience`."""
        owner = adapter.conn.owner
        heard_s = owner.down.now if owner is not None and owner.down is not None else 0.0
        has_sent = heard_s != self.asked.get(adapter, 0.0)
        self.asked[adapter] = heard_s
        return has_sent or adapter.conn.closed or count_unwritten(adapter.transport) > 0

    def tick(self) -> None:
        """Ten times a second or so: see who is there, before the next process can be."""
        suspects = self.relay.suspects
        while suspects:
            suspects.popitem()[0].seek()

    async def sweep(self, now: float) -> None:
        """Every second or so: close what has been idle for long, and end those whose endpoint is gone."""
        links = {adapter.conn.link for adapter in self.adapters if isinstance(adapter.conn, Upstream)}
        for link in links:
            link.close_idle(now)
        self._end_late(now)
        self.patience.timeout_s = self.user_timeout_s
        await end_gone(self.patience, self.adapters, self._is_doubtful, now)
        flush_http1(self.relay.flushes)

    def _end_late(self, now: float) -> None:
        """Those who begin a head and do not come to its end hold a request for nothing."""
        before, self.due = self.due, {}
        for adapter in list(self.adapters):
            conn = adapter.conn
            assert isinstance(conn, Upstream)
            if is_due(conn):
                mark = (conn.messages, conn.reading)
                since = before.get(adapter)
                since_s = since[1] if since is not None and since[0] == mark else now
                self.due[adapter] = (mark, since_s)
                if now - since_s > self.head_timeout_s:
                    conn.head_timed_out(now)

    def close(self) -> None:
        """End everything at once."""
        self.dials.close()
        for adapter in list(self.adapters):
            adapter.abort()


def is_due(conn: Upstream) -> bool:
    """Whether the endpoint owes us the rest of a head, or of trailers; a client that does not read holds it up."""
    return (conn.beginning is not None or conn.is_in_trailers()) and not conn.paused and not conn.closed
