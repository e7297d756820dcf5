"""The fixtures `api_server` and `node`, which all tests of a run share, and `namespace`, one in `api_server` each.

What they need is imported when the first test asks for it: runs without a cluster stay quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cluster.api_server import ApiServer
    from tests.cluster.node import Node


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """A Kubernetes API that no test may stop: for failures, start your own with `ApiServer()`."""
    from tests.cluster.api_server import ApiServer

    with ApiServer() as running:
        yield running


@pytest.fixture
def namespace(api_server: ApiServer) -> Iterator[str]:
    """A namespace for one test alone; its objects are deleted after it."""
    name = api_server.make_namespace()
    yield name
    api_server.client.delete("Namespace", name)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A node that no test may stop: for failures of its parts, start your own with `Node()`."""
    from tests.cluster.node import Node

    with Node() as running:
        yield running
