"""The entry point of the `mesh` command.

It exists apart from `mesh.commands` for the sidecar's memory: `mesh proxy` runs in every pod, so it goes straight to
`proxy.main` and imports neither typer nor rich. A test holds that.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line of this process; the result is its exit code: 0, 1 (failed), 2 (usage)."""
    arguments = sys.argv[1:]
    if arguments[:2] == ["proxy", "init"]:
        from proxy.init.main import main as run_init

        return run_init(arguments[2:])
    if arguments[:2] in (["proxy", "await"], ["proxy", "drain"]):
        from proxy.hooks.main import main as run_hook

        return run_hook(arguments[1:])
    if arguments[:1] == ["proxy"]:
        from proxy.main import main as run_proxy

        return run_proxy(arguments[1:])
    if arguments[:1] == ["controlplane"]:
        return run_controlplane(arguments[1:])
    if arguments[:1] == ["injector"]:
        return run_injector(arguments[1:])
    try:
        from mesh.commands import run
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        print(
            f"mesh: only `mesh proxy` is installed here; {missing.name} is missing: install gossamer-mesh[cli].",
            file=sys.stderr,
        )
        return 1
    return run(arguments)


def run_controlplane(arguments: list[str]) -> int:
    """Only the control plane loads grpcio and the Kubernetes client."""
    try:
        from controlplane.main import main as run_main
    except ModuleNotFoundError as missing:
        name = missing.name or ""
        if name.partition(".")[0] in {"controlplane", "mesh"}:
            raise
        print(f"mesh: {name} is missing: install gossamer-mesh[controlplane].", file=sys.stderr)
        return 1
    return run_main(arguments)


def run_injector(arguments: list[str]) -> int:
    """The webhook's process has the Kubernetes client, and nothing of the command line."""
    try:
        from injector.main import main as run_main
    except ModuleNotFoundError as missing:
        name = missing.name or ""
        if name.partition(".")[0] in {"injector", "mesh"}:
            raise
        print(f"mesh: {name} is missing: install gossamer-mesh[injector].", file=sys.stderr)
        return 1
    return run_main(arguments)
