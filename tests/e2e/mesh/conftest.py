"""The node of all tests here, a control plane over it, and one client of each kind that follows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.node import Node
from tests.e2e.mesh.site import Site


@pytest.fixture(scope="module")
def site(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(node, tmp_path_factory.mktemp("site")) as running:
        yield running
