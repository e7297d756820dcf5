"""NAME.in.yaml, what is in Kubernetes, against NAME.out.yaml, every xDS resource that the clients get for it.

`pytest tests/golden --update-golden` writes the latter anew: read the diff before you commit it.
"""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.translate.resource import CDS, EDS, LDS, RDS, Resource
from tests.golden.case import HERE, inputs, load
from tests.golden.walk import as_dict, ask

ORDER = (LDS, RDS, CDS, EDS)


@pytest.mark.parametrize("path", inputs(), ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_resources_are_those_of_the_golden_file(path: Path, request: pytest.FixtureRequest) -> None:
    golden = path.with_name(path.name.replace(".in.", ".out."))
    now = render(path)
    if request.config.getoption("--update-golden", default=False):
        golden.write_text(now)
    before = golden.read_text() if golden.exists() else ""
    diff = list(unified_diff(before.splitlines(), now.splitlines(), golden.name, "now", lineterm="", n=8))
    if diff:
        text = "\n".join(diff)
        pytest.fail(f"{text}\nIf this is meant: pytest tests/golden --update-golden", pytrace=False)


def test_every_golden_file_has_its_input() -> None:
    outputs = {path.name.replace(".out.", ".in.") for path in HERE.glob("*.out.yaml")}
    assert outputs <= {path.name for path in inputs()}


class _OneItemPerLine(yaml.CSafeDumper):
    """Lists in block style, so that a diff shows the item that is another; small mappings on one line."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        return super().represent_sequence(tag, sequence, flow_style=False)


def render(path: Path) -> str:
    """One document per resource, with the clients that get this very one."""
    case = load(path)
    translator = case.translator()
    found: dict[tuple[int, str, str], tuple[Resource | None, list[str]]] = {}
    for client in case.clients:
        for (type_url, name), resource in ask(translator, client).items():
            key = ORDER.index(type_url), name, resource.version if resource else ""
            found.setdefault(key, (resource, []))[1].append(str(client))
    first_seen = {key: index for index, key in enumerate(found)}
    keys = sorted(found, key=lambda key: (*key[:2], first_seen[key]))
    documents = [_document(ORDER[key[0]], key[1], *found[key]) for key in keys]
    return yaml.dump_all(documents, Dumper=_OneItemPerLine, width=120, default_flow_style=None, explicit_start=True)


def _document(type_url: str, name: str, resource: Resource | None, clients: list[str]) -> dict[str, Any]:
    return {
        f"{type_url.rpartition('.')[2]} {name}": as_dict(resource) if resource else None,
        "for": clients,
        "version": resource.version if resource else None,
    }
