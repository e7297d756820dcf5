"""The admin port, for those who ask too much, or from a page of the web."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from controlplane.admin import _CONNECTIONS_MAX, Admin, Page, encode_lines, is_local_host
from controlplane.metrics import Metrics
from controlplane.state import State
from mesh.options import Address
from tests.unit.controlplane.test_main import Told

HANG_S = 20.0


@pytest.fixture
async def port() -> AsyncIterator[int]:
    state = State("cluster.local", lambda: True, lambda streams: None, lambda bug: None)
    source = Told()
    admin = Admin(state, Metrics(state, source), lambda: "", source.problems)
    yield await admin.start(Address("127.0.0.1", 0))
    await admin.stop()


async def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}{path}", headers=headers) as answer:
            return answer.status, await answer.text()


async def test_the_configuration_is_not_for_pages_of_the_web(port: int) -> None:
    assert (await ask(port, "/debug/config"))[0] == 200
    assert (await ask(port, "/debug/config", Host="localhost:4191"))[0] == 200
    assert (await ask(port, "/debug/config", Host="rebound.example:4191"))[0] == 403
    assert (await ask(port, "/debug/config", Origin="https://example.com"))[0] == 403
    for path in ("/live", "/ready", "/metrics"):
        assert (await ask(port, path, Host="controlplane.mesh.svc:4191"))[0] == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:4191", True),
        ("127.0.0.1", True),
        ("[::1]:4191", True),
        ("[::1]", True),
        ("localhost", True),
        ("localhost:4191", True),
        ("localhost.example", False),
        ("example.com", False),
        ("example.com:127", False),
        ("127.0.0.1.example:80", False),
        ("", False),
    ],
)
def test_an_address_cannot_be_pointed_here_by_a_stranger(host: str, expected: bool) -> None:
    assert is_local_host(host) is expected


def test_making_a_page_takes_at_most_a_tenth_of_the_time() -> None:
    now = [100.0]

    def make() -> bytes:
        now[0] += 0.5
        return str(now[0]).encode()

    page = Page(make, lambda: now[0])
    assert [page.body() for _ in range(1000)] == [b"100.5"] + [b"101.0"] * 999
    now[0] = 1000.0
    assert len({page.body() for _ in range(1000)}) == 2
    for _ in range(1000):
        now[0] += 0.1
        page.body()
    assert now[0] - 1001.0 - 100.0 < 0.12 * 100.0, "of 100 s"


def test_a_line_for_each_item() -> None:
    summary = {"b": {"x": [1, 2], "a": {}}, "a": ["é", {"k": 1}], "c": [], "d": {}, "e": True}
    text = encode_lines(summary)
    assert json.loads(text) == summary
    assert len(text.splitlines()) == 13


async def test_of_too_many_connections_the_oldest_is_closed(port: int) -> None:
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(_CONNECTIONS_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            readers.append(reader)
        async with asyncio.timeout(HANG_S):
            assert (await ask(port, "/live"))[0] == 200
            assert await readers[0].read() == b""
        assert not readers[-1].at_eof()
