"""What `mesh install` prints, byte for byte: `pytest tests/golden --update-golden` writes it anew; read the diff."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.install.builder import build, write
from mesh.install.keys import HIGH_AVAILABILITY
from mesh.install.values import complete

HERE = Path(__file__).parent
CASES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "default": ("gossamer", [{"createNamespace": True}]),
    "high-availability": ("gossamer", [{"createNamespace": True}, dict(HIGH_AVAILABILITY)]),
    "single-namespace": ("shop", [{"singleNamespace": True}]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_manifests_are_those_that_were_read(case: str, request: pytest.FixtureRequest) -> None:
    namespace, changes = CASES[case]
    text, path = write(build(complete(*changes), namespace)), HERE / f"{case}.out.yaml"
    if request.config.getoption("--update-golden", default=False):
        path.write_text(text)
    assert text == path.read_text(), "if this is meant: pytest tests/golden --update-golden"
