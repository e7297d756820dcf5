"""Dialling: keeps a connection to every endpoint, with backoff and jitter (DESIGN 3.2).

An endpoint counts as connected once it has sent its SETTINGS, which proves that it speaks HTTP/2: what accepts and
stays silent never gets a request. What it says instead is read here, for whoever gets the error.
"""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import Any

from proxy.codec.constants import ENHANCE_YOUR_CALM
from proxy.codec.limits import Limits
from proxy.metrics.handles import TcpMetrics
from proxy.net.adapter import PARTIAL_S, Adapter, ReadBuffer, describe, flush, tune_socket
from proxy.net.dials import Dials
from proxy.net.log import log_bug, log_endpoint
from proxy.net.patience import Patience, end_gone
from proxy.net.turns import in_turns
from proxy.relay.link import Link
from proxy.relay.relay import Relay
from proxy.relay.upstream import Upstream
from proxy.route.model import join_host_port

_SWEEP_S = 1.0
_BACKOFF_MIN_S = 0.1
_BACKOFF_MAX_S = 2.0
_BACKOFF_FACTOR = 1.6
_SILENT = "it sent no SETTINGS"
_WORD_BYTES = 24


class Greeting:
    """The protocol of a new connection until its first bytes are there: `said` gets what they are, if no HTTP/2.

    Then the adapter has the transport to itself.
    """

    __slots__ = ("adapter", "said", "transport")

    def __init__(self, adapter: Adapter, said: dict[Adapter, str]) -> None:
        self.adapter = adapter
        self.said = said
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.adapter.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.adapter.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        adapter = self.adapter
        word = describe_word(bytes(adapter.buffer.data[: min(nbytes, _WORD_BYTES)]))
        if word:
            self.said[adapter] = word
        self.transport.set_protocol(adapter)
        adapter.buffer_updated(nbytes)

    def eof_received(self) -> bool:
        return self.adapter.eof_received()

    def pause_writing(self) -> None:
        self.adapter.pause_writing()

    def resume_writing(self) -> None:
        self.adapter.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.adapter.connection_lost(exc)


def describe_word(word: bytes) -> str:
    """What an endpoint's first bytes are; '' where they may be HTTP/2, whose SETTINGS begin with a byte of 0."""
    if word[:7] == b"HTTP/1.":
        return f"it answered in {read_text(word[:8])}"
    if word[:2] in (b"\x15\x03", b"\x16\x03"):
        return "it answered in TLS"
    text = read_text(word)
    return f'it answered "{text}"' if text else ""


def read_text(data: bytes) -> str:
    """As much as is printable ASCII."""
    text = data.decode("latin-1")
    end = next((at for at, letter in enumerate(text) if not " " <= letter <= "~"), len(text))
    return text[:end]


class Pool:
    """One per direction. `said` is as `Greeting` has it, of connections that have not ended."""

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
        self.said: dict[Adapter, str] = {}
        self.loop = asyncio.get_running_loop()
        self.dials: Dials[Link] = Dials(self._connect, self._dropped)

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
                transport, greeting = await self.loop.create_connection(  # type: ignore[type-var]
                    lambda: Greeting(Adapter(conn, self.buffer, self.tcp, self._ended), self.said), host, port
                )
        except TimeoutError:
            self._failed(link, "connect timed out")
            return
        except OSError as error:
            self._failed(link, describe(error), is_refused=isinstance(error, ConnectionRefusedError))
            return
        except Exception as bug:  # Whatever it is, the endpoint must be dialled again.
            log_bug(f"dialling {join_host_port(host, port)}", bug)
            self._failed(link, describe(bug))
            return
        tune_socket(transport.get_extra_info("socket"), self.user_timeout_s)
        adapter = greeting.adapter
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
            conn.fault = _SILENT
            adapter.abort()
        elif link.failures and conn.attached:
            # It lasts, so the next one is dialled at once.
            link.failures = 0
            log_endpoint(f"endpoint {join_host_port(*link.endpoint.address)}: connected")

    def _ended(self, adapter: Adapter, error: str) -> None:
        self.adapters.discard(adapter)
        said = self.said.pop(adapter, "")
        conn = adapter.conn
        assert isinstance(conn, Upstream)
        if conn.peer_settings_seen:
            return
        link = conn.link
        detail = said or conn.fault or error or "it closed the connection"
        self._failed(link, f"no HTTP/2 without TLS there ({detail})", conn.fault != _SILENT)
        if conn.fault != _SILENT and not link.conns and not link.removed:
            link.cluster.refuse(link.endpoint, bool(conn.fault), monotonic())

    def _failed(self, link: Link, error: str, has_answered: bool = False, is_refused: bool = False) -> None:
        where = f"{join_host_port(*link.endpoint.address)}: {error}"
        # As it would be without a mesh: who asks for a closed port is told so at once, and a scan leaves no lines.
        is_closed = is_refused and link.target is not None and link.target.is_foreign
        if link.failures == 0 and not link.removed and not is_closed:
            log_endpoint(f"endpoint {where}; dialled again until it answers")
        link.cluster.last_error = where
        if not has_answered:
            link.cluster.forgive(link.endpoint)
        link.failures += 1
        link.dialling = False
        if not link.conns:
            link.endpoint.renew()
        if link.waiting or not link.conns:
            link.dial_more()
        if is_closed:
            link.cluster.give_up(monotonic())
            flush(self.relay.flushes)

    async def sweep(self, now: float) -> None:
        """Every second or so: end connections whose endpoint is gone, or leaves a frame unfinished.

        Behind such a frame nothing can be answered.
        """
        async for adapter in in_turns(list(self.adapters)):
            conn = adapter.conn
            if conn.peer_settings_seen and not conn.closed and adapter.is_stuck(now, PARTIAL_S):
                conn.fail(ENHANCE_YOUR_CALM, "incomplete frame")
        self.patience.timeout_s = self.user_timeout_s
        await end_gone(self.patience, self.adapters, Adapter.is_doubtful, now)
        flush(self.relay.flushes)

    def close(self) -> None:
        """End everything at once."""
        self.dials.close()
        for adapter in list(self.adapters):
            adapter.abort()


def backoff_s(failures: int, chance: float) -> float:
    """How long to wait before the next dial after so many that failed in a row; `chance`, of [0, 1), is the jitter."""
    if not failures:
        return 0.0
    delay_s = min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * _BACKOFF_FACTOR ** min(failures - 1, 30))
    return delay_s * (0.5 + 0.5 * chance)
