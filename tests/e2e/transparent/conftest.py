from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.transparent.scene import Scene
from tests.netns.network import require_namespaces


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    require_namespaces()
    with Scene(tmp_path_factory.mktemp("mesh")) as made:
        yield made
