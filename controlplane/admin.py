"""The admin port: /live /ready /metrics, and /debug/config, which shows the mesh as it is served.

Anyone who reaches it may ask, in a loop: making a page takes at most a tenth of the time, and of too many connections
the oldest is closed. Who was tricked into asking by a page of the web, through DNS rebinding, is told no configuration.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from aiohttp import web

from controlplane.discovery.stream import Stream
from controlplane.metrics import Metrics, short
from controlplane.state import State
from mesh.listening import listen
from mesh.options import Address
from mesh.version import VERSION

_NACKS_SHOWN: Final = 20
_CONNECTIONS_MAX: Final = 64
_SHARE: Final = 0.1  # of the time, for making one page
_SAVED_S_MAX: Final = 0.5


class Page:
    """A body that costs: made anew for whoever asks, unless too much of the last time went to making it."""

    def __init__(self, make: Callable[[], bytes], clock: Callable[[], float] = monotonic) -> None:
        self._make = make
        self._clock = clock
        self._saved_s = _SAVED_S_MAX
        self._looked_s = clock()
        self._body = b""

    def body(self) -> bytes:
        now = self._clock()
        self._saved_s = min(_SAVED_S_MAX, self._saved_s + _SHARE * (now - self._looked_s))
        self._looked_s = now
        if self._saved_s > 0 or not self._body:
            self._body = self._make()
            self._saved_s -= self._clock() - now
        return self._body


class Admin:
    """`unready_reason` is empty when all is well."""

    def __init__(
        self, state: State, metrics: Metrics, unready_reason: Callable[[], str], problems: Callable[[], list[str]]
    ) -> None:
        self._state = state
        self._unready_reason = unready_reason
        self._problems = problems
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._metrics_page = Page(metrics.exposition)
        self._config_page = Page(lambda: encode_lines(self.summary()))

    async def start(self, address: Address) -> int:
        """Listen; the result is the port. OSError where it cannot be had."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/live", self._live),
                web.get("/ready", self._ready),
                web.get("/metrics", self._exposition),
                web.get("/debug/config", self._config),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        self._server = await listen(self._admit, address.host, address.port)
        return int(self._server.sockets[0].getsockname()[1])

    def _admit(self) -> asyncio.Protocol:
        assert self._runner is not None
        assert self._runner.server is not None
        connections = self._runner.server.connections
        if len(connections) >= _CONNECTIONS_MAX and (transport := connections[0].transport) is not None:
            transport.abort()
        return self._runner.server()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _index(self, _request: web.Request) -> web.Response:
        return web.Response(text="/live /ready /metrics /debug/config\n")

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        reason = self._unready_reason()
        return web.Response(status=503, text=f"{reason}\n") if reason else web.Response(text="ready\n")

    async def _exposition(self, _request: web.Request) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._metrics_page.body(), headers=headers)

    async def _config(self, request: web.Request) -> web.Response:
        if "Origin" in request.headers or not is_local_host(request.headers.get("Host", "")):
            return web.Response(status=403, text="not for a page of the web: ask by IP address, or as localhost\n")
        return web.Response(body=self._config_page.body(), content_type="application/json")

    def summary(self) -> dict[str, Any]:
        """The mesh, the clients and what is wrong, for a person."""
        state = self._state
        streams = state.exchange.streams
        return {
            "version": VERSION,
            "ready": not self._unready_reason(),
            "problems": [*filter(None, [self._unready_reason()]), *self._problems()],
            "targets": {
                name: {
                    "protocol": target.protocol,
                    "endpoints": [f"{endpoint.host}:{endpoint.port}" for endpoint in target.endpoints],
                }
                for name, target in state.mesh.targets.items()
            },
            "streams": [
                {"node": stream.name, "mode": stream.mode, "client": stream.view.kind, "names": count_names(stream)}
                for stream in streams
            ],
            "nacks": [nack._asdict() for nack in list(state.exchange.nacks)[-_NACKS_SHOWN:]],
        }


def encode_lines(summary: dict[str, Any]) -> bytes:
    """JSON with a line for each target, stream and so on: for people, and not by the slow encoder that indents."""
    parts = []
    for key, value in sorted(summary.items()):
        match value:
            case dict() if value:
                lines = [f"  {json.dumps(name)}: {json.dumps(value[name])}" for name in sorted(value)]
                text = "{\n" + ",\n".join(lines) + "\n }"
            case list() if value:
                text = "[\n" + ",\n".join([f"  {json.dumps(item)}" for item in value]) + "\n ]"
            case _:
                text = json.dumps(value)
        parts.append(f" {json.dumps(key)}: {text}")
    return ("{\n" + ",\n".join(parts) + "\n}\n").encode()


def is_local_host(host: str) -> bool:
    """Whether a Host header is an address or `localhost`: no name that a stranger's DNS could point here."""
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def count_names(stream: Stream) -> dict[str, int]:
    return {short(kind): len(subscription.follows) for kind, subscription in stream.subscriptions.items()}
