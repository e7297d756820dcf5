"""The commands of `mesh`, and how they fail: one sentence on stderr, exit code 1 or (usage) 2, never a traceback."""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer
from typer.core import CompletionItem, TyperCommand  # type: ignore[attr-defined]  # typer exports it nowhere else
from typer.exceptions import TyperException

from mesh.build import HOT_PACKAGES, inspect_package
from mesh.check.command import check
from mesh.demo.command import demo
from mesh.inject.command import inject, uninject
from mesh.install.command import install, uninstall, upgrade
from mesh.version import VERSION

FORWARDED = {"ignore_unknown_options": True, "allow_extra_args": True}
INTERRUPTED = 130  # what a shell reports for a command that SIGINT ended

app = typer.Typer(
    name="mesh",
    help="Gossamer: balances gRPC per request, in Python.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Output(StrEnum):
    """The forms in which a command that reads can answer."""

    TEXT = "text"
    JSON = "json"


class Shell(StrEnum):
    """The shells for which `mesh completion` has a script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


class Forwarded(TyperCommand):
    """A command whose arguments another parser reads: what there is to complete is what its help says."""

    def shell_complete(self, ctx: Any, incomplete: str) -> list[CompletionItem]:
        if not incomplete.startswith("-"):
            return []
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
            FORWARDS[str(self.name)](["--help"])
        options = dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text.getvalue()))
        return [CompletionItem(option) for option in options if option.startswith(incomplete)]


def run_proxy(arguments: list[str]) -> int:
    from proxy.main import main

    return main(arguments)


def run_controlplane(arguments: list[str]) -> int:
    from controlplane.main import main

    return main(arguments)


def run_injector(arguments: list[str]) -> int:
    from injector.main import main

    return main(arguments)


FORWARDS: dict[str, Callable[[list[str]], int]] = {
    "proxy": run_proxy,
    "controlplane": run_controlplane,
    "injector": run_injector,
}


def print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gossamer {VERSION}")
        raise typer.Exit


@app.callback()
def describe(
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Keep `mesh` a group of commands, however few there are."""


@app.command(cls=Forwarded, add_help_option=False, context_settings=FORWARDED)
def proxy(context: typer.Context) -> int:
    """Balance every gRPC request over the given endpoints: the sidecar. Its options: `mesh proxy --help`."""
    return run_proxy(context.args)


@app.command(cls=Forwarded, add_help_option=False, context_settings=FORWARDED)
def controlplane(context: typer.Context) -> int:
    """Serve the mesh's configuration over xDS, from Kubernetes or files. Its options: `mesh controlplane --help`."""
    return run_controlplane(context.args)


@app.command(cls=Forwarded, add_help_option=False, context_settings=FORWARDED)
def injector(context: typer.Context) -> int:
    """Put the sidecar into pods as they are created: the admission webhook. Its options: `mesh injector --help`."""
    return run_injector(context.args)


app.command()(demo)
app.command()(inject)
app.command()(uninject)
app.command()(install)
app.command()(upgrade)
app.command()(uninstall)
app.command()(check)


@app.command()
def version(
    output: Annotated[Output, typer.Option("--output", "-o", help="The form of the answer.")] = Output.TEXT,
) -> None:
    """Print the version, and whether the sidecar's hot path is compiled or plain Python."""
    packages = {package: inspect_package(package) for package in HOT_PACKAGES}
    python = f"{platform.python_implementation()} {platform.python_version()}"
    if output is Output.JSON:
        modules = {name: {"compiled": found.compiled, "plain": found.plain} for name, found in packages.items()}
        typer.echo(json.dumps({"version": VERSION, "python": python, "modules": modules}))
        return
    typer.echo(f"gossamer {VERSION}, {python}")
    for name, found in packages.items():
        typer.echo(f"{name}: " + (f"compiled ({', '.join(found.compiled)})" if found.compiled else "plain Python"))


@app.command()
def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete in.")]) -> None:
    """Print a completion script; in bash: source <(mesh completion bash)."""
    os.environ["_MESH_COMPLETE"] = f"source_{shell}"  # the way to ask that typer documents
    app(prog_name="mesh")


def run(arguments: list[str]) -> int:
    """Run one command line. Every way in which it can end is decided here."""
    try:
        result = app(arguments or ["--help"], prog_name="mesh", standalone_mode=False)
        sys.stdout.flush()
    except TyperException as fault:
        return complain(explain_usage(fault), fault.exit_code)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit would complain again
        return 1
    except Exception as fault:
        if os.environ.get("GOSSAMER_TRACEBACK") == "1":
            raise
        return complain(f"{type(fault).__name__}: {fault} (a fault of ours; GOSSAMER_TRACEBACK=1 shows where).", 1)
    return result if isinstance(result, int) else 0


def explain_usage(fault: TyperException) -> str:
    """What typer has to say, on one line, and where to read more."""
    message = " ".join(fault.format_message().split()).replace("Value error, ", "").rstrip(".")
    message += "" if message.endswith("?") else "."
    context = getattr(fault, "ctx", None)
    return f"{message} See `{context.command_path} --help`." if context else message


def complain(sentence: str, code: int) -> int:
    """Say what went wrong on stderr, and hand back the exit code."""
    print(f"mesh: {sentence}", file=sys.stderr)
    return code
