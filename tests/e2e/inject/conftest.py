from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import find_program, require_programs

MESH = [sys.executable, "-c", "import sys; from mesh.cli import main; sys.exit(main())"]
Run = Callable[..., subprocess.CompletedProcess[str]]


def run(command: list[str], text: str | None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=text, capture_output=True, text=True, check=False, timeout=60, env=os.environ | environment
    )


@pytest.fixture(scope="session")
def kubectl(api_server: ApiServer) -> Run:
    """The real kubectl, as the cluster's admin."""
    require_programs("kubectl")
    program = find_program("kubectl")

    def call(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return run([program, *arguments], text, KUBECONFIG=str(api_server.kubeconfig))

    return call


@pytest.fixture(scope="session")
def mesh() -> Run:
    """The command, as a process of its own."""

    def call(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        return run([*MESH, *arguments], text)

    return call
