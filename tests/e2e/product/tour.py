"""The commands of docs/getting-started.md, run as they stand there; `make demo-kubernetes` runs them all.

`python -m tests.e2e.product.tour` starts a node of its own for it and removes every trace.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import mesh_image
from tests.cluster.node import Node

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "getting-started.md"
MESH = """#!/bin/sh
PYTHONPATH={root} exec {python} -c 'import sys; from mesh.cli import main; sys.exit(main())' "$@"
"""
TIMEOUT_S = 300.0


def read_guide() -> dict[str, list[str]]:
    """From each heading to its blocks of commands."""
    sections = re.split(r"^## ", GUIDE.read_text(), flags=re.MULTILINE)[1:]
    return {
        text.partition("\n")[0]: re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for text in sections
    }


class Tour:
    """A shell inside the node, in which `mesh` is this checkout's."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._mesh = node.folder / "bin" / "mesh"
        self._mesh.parent.mkdir(exist_ok=True)
        self._mesh.write_text(MESH.format(root=ROOT, python=sys.executable))
        self._mesh.chmod(0o755)

    def command(self, block: str) -> list[str]:
        path = f"{self._mesh.parent}:{self._node.environment['PATH']}"
        shell = ["bash", "-euo", "pipefail", "-c", f"cd {ROOT}\n{block}"]
        return self._node.command("env", f"PATH={path}", *shell)

    def run(self, block: str) -> str:
        """Its output; an error tells what it said."""
        done = subprocess.run(
            self.command(block), env=self._node.environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run_section(self, heading: str) -> str:
        return "".join(self.run(block) for block in read_guide()[heading])

    def show(self, block: str) -> None:
        """Before the eyes of a user."""
        print("\n" + "".join(f"$ {line}\n" for line in block.splitlines()), flush=True)
        subprocess.run(self.command(block), env=self._node.environment, check=True)


def main() -> None:
    print("Building the image and starting a one-node Kubernetes (minutes, the first time) ...", flush=True)
    try:
        mesh_image.build()
        with Node() as node:
            mesh_image.load(node)
            tour = Tour(node)
            for blocks in read_guide().values():
                for block in blocks:
                    tour.show(block)
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(f"make demo-kubernetes: {missing}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"make demo-kubernetes: that ended with exit code {error.returncode}")


if __name__ == "__main__":
    main()
