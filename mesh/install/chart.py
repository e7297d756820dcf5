"""The Helm chart, made from the same tree as the output of `mesh install`: `python -m mesh.install.chart FOLDER`.

It is checked in; a test makes it anew and compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from mesh.install.builder import COMPONENTS, Component
from mesh.install.keys import BY_NAME, HIGH_AVAILABILITY, KEYS, Key, Kind
from mesh.install.parts.guard import ENABLED as GUARD
from mesh.install.parts.guard import MINIMUM_VERSION as GUARD_VERSION
from mesh.install.schema import make_schema
from mesh.install.template import Templates
from mesh.install.text import dump
from mesh.install.tree import If
from mesh.install.values import EXCLUSIVE, describe
from mesh.version import VERSION

GENERATED: Final = "# Made by `make chart` from mesh/install: edit that.\n"
MINIMUM_VERSION: Final = (1, 25)
_NOTES: Final = """\
Gossamer {{ .Chart.AppVersion }} is installed in namespace {{ .Release.Namespace }}.

  kubectl --namespace {{ .Release.Namespace }} rollout status deployment/gossamer-controlplane
"""
NEEDED: Final = ".".join(map(str, GUARD_VERSION))
# What the schema cannot say; no object comes of it.
_CHECK: Final = f"""\
{{{{- if and .Values.createNamespace .Values.singleNamespace }}}}
{{{{- fail "{EXCLUSIVE}" }}}}
{{{{- end }}}}
{{{{- if and .Values.injector.enabled (not .Values.singleNamespace) .Values.{GUARD} }}}}
{{{{- if semverCompare "<{NEEDED}.0-0" .Capabilities.KubeVersion.Version }}}}
{{{{- fail "the cluster is older than Kubernetes {NEEDED}, which {GUARD} needs; set it to false" }}}}
{{{{- end }}}}
{{{{- end }}}}
"""


def make_chart() -> dict[str, str]:
    """The files of the chart by their path in it."""
    return {
        "Chart.yaml": GENERATED + dump(describe_chart()),
        "values.yaml": write_values({key.name: key.default for key in KEYS}, "All values of the chart."),
        "values-ha.yaml": write_values(
            HIGH_AVAILABILITY, "What `mesh install --ha` sets: helm install -f values-ha.yaml"
        ),
        "values.schema.json": json.dumps(make_schema(), indent=2) + "\n",
        "templates/NOTES.txt": _NOTES,
        "templates/check.yaml": _CHECK,
        **{f"templates/{component.name}.yaml": write_template(component) for component in COMPONENTS},
    }


def describe_chart() -> dict[str, Any]:
    return {
        "apiVersion": "v2",
        "name": "gossamer",
        "description": "A service mesh in Python: balances gRPC and HTTP per request",
        "type": "application",
        "version": VERSION,
        "appVersion": VERSION,
        "kubeVersion": f">={MINIMUM_VERSION[0]}.{MINIMUM_VERSION[1]}.0-0",
        "keywords": ["service-mesh", "grpc"],
    }


def write_template(component: Component) -> str:
    templates = Templates(
        blocks=frozenset(key.name for key in KEYS if key.kind in (Kind.MAP, Kind.LIST)),
        numbers=frozenset(key.name for key in KEYS if key.kind is Kind.NUMBER),
    )
    lines = []
    for condition, items in groupby(component.objects(), lambda item: item.condition if isinstance(item, If) else None):
        bodies = [item.then if isinstance(item, If) else item for item in items]
        body = [line for found in bodies for line in ("---", *templates.lines(found))]
        lines += templates.guard(condition, body) if condition is not None else body
    return GENERATED + "\n".join(lines) + "\n"


def write_values(values: Mapping[str, Any], title: str) -> str:
    """The values nested by the dots in their names, each with what it means."""
    lines, before = [GENERATED.rstrip(), f"# {title}"], [""]
    for name in sorted(values):
        *groups, last = name.split(".")
        shared = count_shared(groups, before)
        lines += [f"{'  ' * depth}{groups[depth]}:" for depth in range(shared, len(groups))]
        pad, before = "  " * len(groups), groups
        lines += [f"{pad}# {explain(BY_NAME[name])}", f"{pad}{last}: {json.dumps(values[name])}"]
    return "\n".join(lines) + "\n"


def count_shared(first: list[str], second: list[str]) -> int:
    count = 0
    while count < min(len(first), len(second)) and first[count] == second[count]:
        count += 1
    return count


def explain(key: Key) -> str:
    return f"{key.meaning} ({describe(key)})" if key.choices or key.kind is Kind.NUMBER else key.meaning


def write_chart(folder: Path) -> None:
    """Make the folder hold the chart, and no file beside it."""
    files = make_chart()
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in files:
            path.unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


if __name__ == "__main__":
    write_chart(Path(sys.argv[1]))
