"""A stage for each test of the injector. All share the API server; those of reviews an injector as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import require_programs
from tests.e2e.injector.stage import Stage


@pytest.fixture
def stage(api_server: ApiServer) -> Iterator[Stage]:
    require_programs("kubectl")
    made = Stage(api_server)
    try:
        yield made
    finally:
        made.close()
