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
    if arguments[:1] in (["controlplane"], ["injector"]):
        return run_service(arguments[0], arguments[1:])
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


def run_service(part: str, arguments: list[str]) -> int:
    """Only these processes load grpcio or the Kubernetes client, and nothing of the command line."""
    from importlib import import_module  # `mesh proxy` does not pay for it

    try:
        run_main = import_module(f"{part}.main").main
    except ModuleNotFoundError as missing:
        name = missing.name or ""
        if name.partition(".")[0] in {part, "mesh"}:
            raise
        print(f"mesh: {name} is missing: install gossamer-mesh[{part}].", file=sys.stderr)
        return 1
    return int(run_main(arguments))
