"""The HTTP side: what is answered when something of ours, or of the cluster, fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from injector.api.access import Access
from injector.metrics import Metrics
from injector.patch import Settings
from injector.webhook.events import Events
from injector.webhook.namespaces import Namespaces
from injector.webhook.server import PATH, Webhook
from mesh.contract import INJECT
from tests.unit.injector.test_main import KUBECONFIG
from tests.unit.injector.webhook.test_review import make_review


def break_down() -> Settings:
    raise RuntimeError("settings on fire")


def make_namespace(name: str, version: str = "1", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version, "labels": labels or {INJECT: "enabled"}}}


class Running:
    def __init__(self, client: TestClient, metrics: Metrics, events: Events) -> None:  # type: ignore[type-arg]
        self.client, self.metrics, self.events = client, metrics, events

    async def post(self, body: bytes) -> tuple[int, str]:
        async with self.client.post(PATH, data=BytesIO(body), headers={"Content-Type": "application/json"}) as answer:
            return answer.status, await answer.text()

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"{name}_total", labels) or 0


@asynccontextmanager
async def run(folder: Path, settings=Settings) -> AsyncIterator[Running]:  # type: ignore[no-untyped-def]
    """A webhook whose API server cannot be reached."""
    path = folder / "config"
    path.write_text(json.dumps(KUBECONFIG))
    access = Access(str(path))
    await access.open()
    metrics, events = Metrics(), Events(access, "test")
    namespaces = Namespaces(access, Random(1))
    namespaces.take({"type": "ADDED", "object": make_namespace("shop")})
    webhook = Webhook(settings, namespaces, events, metrics)
    async with TestClient(TestServer(webhook.application())) as client:
        try:
            yield Running(client, metrics, events)
        finally:
            await access.close()


async def test_a_namespace_that_cannot_be_read_leaves_it_to_the_failure_policy(tmp_path: Path) -> None:
    async with run(tmp_path) as running:
        status, text = await running.post(make_review(namespace="new"))
        assert status == 500
        assert "cannot read the namespace new: connection refused" in text
        assert running.count("injector_failed", reason="namespace") == 1
        assert len(running.events.ledger.take(0.0)) == 1


async def test_a_dry_run_that_fails_makes_no_event(tmp_path: Path) -> None:
    async with run(tmp_path) as running:
        assert (await running.post(make_review(namespace="new", dryRun=True)))[0] == 500
        assert running.events.ledger.take(0.0) == []


async def test_a_bug_leaves_it_to_the_failure_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with run(tmp_path, break_down) as running:
        assert await running.post(make_review()) == (500, "the injector failed at this pod: its log says why\n")
        assert running.count("injector_failed", reason="bug") == 1
    said = capsys.readouterr().err
    assert "bug: a review of a pod in shop failed: Traceback" in said
    assert "RuntimeError: settings on fire" in said


async def test_a_pod_of_a_known_namespace_needs_no_api_server(tmp_path: Path) -> None:
    async with run(tmp_path) as running:
        status, text = await running.post(make_review())
        assert (status, json.loads(text)["response"]["patchType"]) == (200, "JSONPatch")
        assert running.count("injector_injected") == 1


async def test_what_is_no_pod_is_allowed_without_asking_anybody(tmp_path: Path) -> None:
    async with run(tmp_path) as running:
        status, text = await running.post(make_review(kind={"group": "", "kind": "Service"}))
        assert (status, json.loads(text)["response"]) == (200, {"uid": "u-1", "allowed": True})


async def test_a_namespace_that_is_never_meshed_needs_no_api_server(tmp_path: Path) -> None:
    async with run(tmp_path) as running:
        status, text = await running.post(make_review(namespace="kube-system"))
        assert (status, json.loads(text)["response"]) == (200, {"uid": "u-1", "allowed": True})
        assert running.count("injector_skipped", reason="namespace") == 1
        assert running.events.ledger.take(0.0) == []


async def test_a_body_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("injector.webhook.server.BODY_S", 0.0)
    async with run(tmp_path) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.client.port)
        writer.write(b"POST /mutate HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\n{")
        assert b" 408 " in await reader.readline()
        writer.close()


async def test_a_review_above_what_it_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("injector.webhook.server.ROOM_BYTES", 1000)
    async with run(tmp_path) as running:
        assert await running.post(b" " * 2000) == (503, "too much is under review\n")


async def test_a_review_of_a_pod_as_large_as_the_api_takes(tmp_path: Path) -> None:
    """Go writes < as \\u003c."""
    value = b'"env": [{"name": "A", "value": "' + b"\\u003c" * 620_000 + b'"}], "name": "app"'
    body = make_review().replace(b'"name": "app"', value)
    async with run(tmp_path) as running:
        assert len(body) > 3 << 20
        status, text = await running.post(body)
        assert (status, json.loads(text)["response"]["patchType"]) == (200, "JSONPatch")


async def test_other_methods_and_paths_are_not_served(tmp_path: Path) -> None:
    async with run(tmp_path) as running:
        async with running.client.get(PATH) as answer:
            assert answer.status == 405
        async with running.client.post("/") as answer:
            assert answer.status == 404
