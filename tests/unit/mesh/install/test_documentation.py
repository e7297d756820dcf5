"""The table of values in docs/installation.md is the one in the source."""

from __future__ import annotations

import json
from pathlib import Path

from mesh.install.chart import explain
from mesh.install.keys import KEYS

PAGE = Path(__file__).parents[4] / "docs" / "installation.md"


def test_the_table_of_values_is_that_of_the_source() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and not line.startswith("| `--")]
    assert rows == [f"| `{key.name}` | `{json.dumps(key.default)}` | {explain(key)} |" for key in KEYS]
