"""A contract that cannot fail protects nothing: each is shown a violation, in a copy of the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("mesh", "proxy", "controlplane", "injector", "dashboards", "benchmarks")

VIOLATIONS = {
    "inside the sidecar, imports point down": ("proxy/codec/frames.py", "import proxy.relay.relay"),
    "the hot path does no I/O, and takes the time and chance as arguments": ("proxy/balance/ewma.py", "import time"),
    "the codec needs the standard library alone": ("proxy/codec/frames.py", "import hpack"),
    "the sidecar stays small": ("proxy/outbound.py", "import grpc"),
    "inside the control plane, imports point down": (
        "controlplane/graph/mesh.py",
        "import controlplane.translate.route",
    ),
    "from objects to discovery there is no I/O": ("controlplane/graph/mesh.py", "import time"),
    "inside the injector, imports point down": ("injector/options.py", "import injector.webhook.review"),
    "what becomes of reviews and certificates is decided without I/O": (
        "injector/certificate/course.py",
        "import time",
    ),
    "what injection makes of a pod is worked out without I/O": ("injector/patch/injection.py", "import time"),
    "the parts talk over the network, not by import": ("proxy/outbound.py", "import controlplane"),
    "the command stands on the parts, the version below them": ("proxy/outbound.py", "import mesh.commands"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__", "*.so", "results"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_violation_breaks_the_contract(contract: str, tree: Path) -> None:
    path, line = VIOLATIONS[contract]
    module = tree / path
    source = module.read_text()
    module.write_text(f"{source}\n{line}\n")
    try:
        result = lint(tree)
    finally:
        module.write_text(source)
    assert f"{contract} BROKEN" in " ".join(result.stdout.split())
    assert result.returncode == 1


def test_a_module_of_the_sidecar_needs_a_layer(tree: Path) -> None:
    module = tree / "proxy" / "homeless.py"
    module.write_text("")
    try:
        result = lint(tree)
    finally:
        module.unlink()
    assert "proxy.homeless" in result.stdout
    assert result.returncode == 1
