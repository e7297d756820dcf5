"""The real helm, as tests/tools/helm/build.sh makes it."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.requirement import require

ROOT = Path(__file__).parents[4]
CHART = ROOT / "charts" / "gossamer"


@functools.cache
def helm() -> Path:
    """The program; a test without it is skipped, under CI it fails."""
    command = [ROOT / "tests/tools/helm/build.sh", "--print"]
    folder = Path(subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip())
    require((folder / "helm").exists(), "helm is missing: bash tests/tools/helm/build.sh builds it")
    return folder / "helm"


def nest(values: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted name as a chart has them."""
    nested: dict[str, Any] = {}
    for name, given in values.items():
        *groups, last = name.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = given
    return nested


def run_helm(*arguments: str | Path, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    files = ["--values", "-"] if values is not None else []
    text = json.dumps(nest(values or {}))
    return subprocess.run([helm(), *arguments, *files], input=text, capture_output=True, text=True, check=False)


def template(namespace: str, values: dict[str, Any], *options: str | Path) -> list[dict[str, Any]]:
    """The objects of `helm template`."""
    done = run_helm("template", "gossamer", CHART, "--namespace", namespace, *options, values=values)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]
