"""The admin port: /live /ready /metrics, and /debug/config, which shows the mesh as it is served."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from controlplane.discovery.stream import Stream
from controlplane.metrics import Metrics, short
from controlplane.options import Address
from controlplane.state import State
from mesh.version import VERSION

_NACKS_SHOWN = 20


class Admin:
    """`unready_reason` is empty when all is well."""

    def __init__(
        self, state: State, metrics: Metrics, unready_reason: Callable[[], str], problems: Callable[[], list[str]]
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._unready_reason = unready_reason
        self._problems = problems
        self._runner: web.AppRunner | None = None

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
        site = web.TCPSite(self._runner, address.host, address.port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
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
        return web.Response(body=self._metrics.exposition(), headers=headers)

    async def _config(self, _request: web.Request) -> web.Response:
        text = json.dumps(self.summary(), indent=1, sort_keys=True)
        return web.Response(text=text + "\n", content_type="application/json")

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


def count_names(stream: Stream) -> dict[str, int]:
    return {short(kind): len(subscription.follows) for kind, subscription in stream.subscriptions.items()}
