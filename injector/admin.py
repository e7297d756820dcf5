"""The admin port: /live /ready /metrics."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from injector.metrics import Metrics


def make_admin(metrics: Metrics, unready_reason: Callable[[], str]) -> web.Application:
    """`unready_reason` is empty when all is well."""

    async def index(_request: web.Request) -> web.Response:
        return web.Response(text="/live /ready /metrics\n")

    async def live(_request: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def ready(_request: web.Request) -> web.Response:
        reason = unready_reason()
        return web.Response(status=503, text=f"{reason}\n") if reason else web.Response(text="ready\n")

    async def exposition(_request: web.Request) -> web.Response:
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=metrics.exposition(), headers=headers)

    application = web.Application()
    application.add_routes(
        [web.get("/", index), web.get("/live", live), web.get("/ready", ready), web.get("/metrics", exposition)]
    )
    return application
