"""The commands of docs/getting-started.md, run as they stand there; `make demo-kubernetes` runs them all.

`python -m tests.e2e.product.tour` starts a node of its own for it and removes every trace. It says what it does, also
while something takes long and says nothing itself.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.cluster import mesh_image
from tests.cluster.node import Node

ROOT = Path(__file__).parents[3]
GUIDE = ROOT / "docs" / "getting-started.md"
MESH = """#!/bin/sh
PYTHONPATH={root} exec {python} -c 'import sys; from mesh.cli import main; sys.exit(main())' "$@"
"""
# Its first block of commands is an administrator's, the second that of the user whom it names, the last anybody's.
ALONE, USER = "In one namespace", "rita"
TIMEOUT_S = 300.0
STILL_EVERY_S = 15.0


def read_guide() -> dict[str, list[str]]:
    """From each heading to its blocks of commands."""
    sections = re.split(r"^## ", GUIDE.read_text(), flags=re.MULTILINE)[1:]
    return {
        text.partition("\n")[0]: re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for text in sections
    }


class Tour:
    """A shell inside the node, in which `mesh` is this checkout's; the admin's, or another user's."""

    def __init__(self, node: Node, kubeconfig: Path | None = None) -> None:
        self._node = node
        self._environment = node.environment | ({"KUBECONFIG": str(kubeconfig)} if kubeconfig else {})
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
            self.command(block), env=self._environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run_section(self, heading: str) -> str:
        return "".join(self.run(block) for block in read_guide()[heading])

    def show(self, block: str) -> None:
        """Before the eyes of a user: each command, then what it says."""
        said = "".join(f"printf '\\n%s\\n' {shlex.quote(f'$ {line}')}\n{line}\n" for line in block.splitlines())
        subprocess.run(self.command(said), env=self._environment, check=True)


def show_all(node: Node) -> None:
    admin, user = Tour(node), Tour(node, node.api.write_user_kubeconfig(USER))
    for heading, blocks in read_guide().items():
        print(f"\n=== {heading}", flush=True)
        for number, block in enumerate(blocks):
            (user if (heading, number) == (ALONE, 1) else admin).show(block)


def do_aloud(what: str, work: Callable[[], object]) -> None:
    """Say what is done, and every now and then that it still is."""
    print(f"{what} ...", flush=True)
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as worker:
        doing = worker.submit(work)
        while wait([doing], STILL_EVERY_S).not_done:
            print(f"  still at it after {time.monotonic() - begun:.0f} s", flush=True)
        doing.result()


def main() -> None:
    try:
        do_aloud("Building the image (a few minutes the first time, seconds later)", mesh_image.build)
        print("Starting a one-node Kubernetes (ten seconds) ...", flush=True)
        with Node() as node:
            do_aloud("Giving it the image", lambda: mesh_image.load(node))
            show_all(node)
            print("\nEnding the Kubernetes and removing every trace ...", flush=True)
    except (pytest.skip.Exception, pytest.fail.Exception) as missing:
        sys.exit(f"make demo-kubernetes: {missing}")
    except KeyboardInterrupt:
        sys.exit("make demo-kubernetes: stopped")
    except subprocess.CalledProcessError as error:
        sys.exit(f"make demo-kubernetes: that ended with exit code {error.returncode}")


if __name__ == "__main__":
    main()
