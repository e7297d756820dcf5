"""An HTTP port: listens, bounds the connections, and ends without losing an answer.

Both ports have many who can reach them, so of too many connections the oldest is closed. At the end every answer asks
its client to connect anew, elsewhere: the API server keeps connections for ever, also to a pod that no Service has any
more, and would send its next review into one that is being closed.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from aiohttp import web

from mesh.options import Address

# Longer than a Go client's 90 s: it is the client that ends an idle connection, never in the middle of a request.
_IDLE_S: Final = 150.0
_FINISH_S: Final = 5.0


class Site:
    """`application` at an address, with TLS if there is a context."""

    def __init__(
        self, application: web.Application, connections_max: int, context: ssl.SSLContext | None = None
    ) -> None:
        application.on_response_prepare.append(self._prepare)
        self._runner = web.AppRunner(
            application, access_log=None, keepalive_timeout=_IDLE_S, shutdown_timeout=_FINISH_S, handle_signals=False
        )
        self._connections_max = connections_max
        self._context = context
        self._server: asyncio.Server | None = None
        self._is_leaving = False

    async def start(self, address: Address) -> int:
        """Listen; the result is the port. OSError where it cannot be had."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._admit,
            address.host,
            address.port,
            ssl=self._context,
            ssl_handshake_timeout=10 if self._context else None,
        )
        return int(self._server.sockets[0].getsockname()[1])

    def leave(self) -> None:
        """From now on each answer is the last of its connection."""
        self._is_leaving = True

    async def stop(self) -> None:
        """Accept no more, and let what is being answered finish."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    async def _prepare(self, _request: web.Request, response: web.StreamResponse) -> None:
        if self._is_leaving:
            response.force_close()
            response.headers["Connection"] = "close"  # aiohttp says so only of what was forced before this signal

    def _admit(self) -> asyncio.Protocol:
        assert self._runner.server is not None
        connections = self._runner.server.connections
        if len(connections) >= self._connections_max and (transport := connections[0].transport) is not None:
            transport.abort()
        return self._runner.server()
