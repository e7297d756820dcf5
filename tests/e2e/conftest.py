"""Fixtures of the end-to-end tests: three real grpcio servers, the proxy in front of them, and channels to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from tests.e2e.calls import Channel, open_channel, open_sync_channel
from tests.e2e.processes import GrpcBackend
from tests.e2e.proxy_process import Proxy

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """grpcio's asyncio side wants one event loop in the process: all tests here share one."""
    for item in items:
        if HERE in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def start_backends(stack: ExitStack, *names: str) -> list[GrpcBackend]:
    return [stack.enter_context(GrpcBackend(name)) for name in names]


@pytest.fixture(scope="session")
def backends() -> Iterator[list[GrpcBackend]]:
    """Three equal backends that no test may stop."""
    with ExitStack() as stack:
        yield start_backends(stack, "a", "b", "c")


@pytest.fixture(scope="session")
def proxy(backends: list[GrpcBackend]) -> Iterator[Proxy]:
    """A proxy that no test may stop: it lives for the whole session, and must end well after it."""
    with Proxy([backend.address for backend in backends]) as running:
        yield running


@pytest.fixture
def mortals() -> Iterator[list[GrpcBackend]]:
    """Three backends for one test alone, which may do with them what it likes."""
    with ExitStack() as stack:
        yield start_backends(stack, "a", "b", "c")


@pytest_asyncio.fixture(loop_scope="session")
async def channel(proxy: Proxy) -> AsyncIterator[Channel]:
    """A channel of grpcio's asyncio side to the proxy."""
    async with open_channel(proxy.address) as opened:
        yield opened


@pytest.fixture
def sync_channel(proxy: Proxy) -> Iterator[Channel]:
    """A channel of grpcio's threaded side to the proxy."""
    with open_sync_channel(proxy.address) as opened:
        yield opened
