"""What is asked of the API server about an Event's object, and what its answers lead to; an HTTP server plays it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from injector.api.access import Access
from injector.webhook.events import Events
from injector.webhook.judgement import About, Happening, Note
from tests.unit.injector.test_main import KUBECONFIG

ABOUT = About("shop", "apps/v1", "ReplicaSet", "web-7d", "u-9")
ABOVE = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u-1", "controller": True}


class Api:
    """Has one ReplicaSet, and takes Events."""

    def __init__(self, item: object, status: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._item, self._status = item, status

    async def get(self, _request: web.Request) -> web.Response:
        return web.json_response(self._item, status=self._status)

    async def post(self, request: web.Request) -> web.Response:
        self.events.append(await request.json())
        return web.json_response({})


@asynccontextmanager
async def run(folder: Path, item: object, status: int = 200) -> AsyncIterator[tuple[Api, Events]]:
    api, application = Api(item, status), web.Application()
    application.add_routes(
        [
            web.get("/apis/apps/v1/namespaces/shop/replicasets/web-7d", api.get),
            web.post("/api/v1/namespaces/shop/events", api.post),
        ]
    )
    async with TestServer(application) as server:
        cluster = {"name": "c", "cluster": {"server": str(server.make_url("")).rstrip("/")}}
        path = folder / "config"
        path.write_text(json.dumps({**KUBECONFIG, "clusters": [cluster]}))
        access = Access(str(path))
        await access.open()
        try:
            yield api, Events(access, "test")
        finally:
            await access.close()


@pytest.mark.parametrize(
    ("item", "status", "expected"),
    [
        ({"metadata": {"uid": "u-9", "ownerReferences": [ABOVE]}}, 200, "Deployment"),
        ({"metadata": {"uid": "u-9"}}, 200, "ReplicaSet"),
        ({"metadata": {"uid": "u-9", "ownerReferences": [{**ABOVE, "name": "../x"}]}}, 200, "ReplicaSet"),
        ({"metadata": {"uid": "u-8", "ownerReferences": [ABOVE]}}, 200, None),
        ({"metadata": None}, 200, None),
        ({"major": "1"}, 200, None),
        ({"message": "not found"}, 404, None),
        ({"message": "forbidden"}, 403, "ReplicaSet"),
    ],
)
async def test_what_an_event_is_about(item: object, status: int, expected: str | None, tmp_path: Path) -> None:
    async with run(tmp_path, item, status) as (api, events):
        events.add(Note(ABOUT, Happening.INJECTED, "here"))
        await events.flush()
        assert [event["involvedObject"]["kind"] for event in api.events] == ([expected] if expected else [])


async def test_a_message_is_one_line(tmp_path: Path) -> None:
    async with run(tmp_path, {}) as (api, events):
        events.add(Note(About("shop", "v1", "Pod", "p"), Happening.FAILED, "\x1b[31m\n" * 200))
        await events.flush()
        (event,) = api.events
        assert event["message"].startswith("\\x1b[31m\\n\\x1b")
        assert len(event["message"]) == 1000
