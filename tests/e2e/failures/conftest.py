"""A real API that these tests share and break; each finds it whole again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.api_server import ApiServer


def revive(api: ApiServer) -> None:
    """Start what does not run, with the data that it had."""
    for part in (api.etcd, api.server):
        if part.is_running:
            part.thaw()
        else:
            part.start()
    api.client.close()
    api.wait_ready()
    api.client.close()  # this thread's connection


@pytest.fixture(scope="session")
def mortal_api() -> Iterator[ApiServer]:
    from tests.cluster.api_server import ApiServer

    with ApiServer(controllers=False) as running:
        yield running


@pytest.fixture
def api(mortal_api: ApiServer) -> Iterator[ApiServer]:
    yield mortal_api
    revive(mortal_api)


@pytest.fixture
def namespace(api: ApiServer) -> str:
    """Never deleted: without controllers nobody would."""
    return api.make_namespace("failures")
