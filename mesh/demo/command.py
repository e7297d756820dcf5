"""The command line of `mesh demo`: its options, and what is wrong with them."""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from typing import Annotated

import typer

DURATION_S = (1.0, 3600.0)
RATE = (1.0, 1000.0)

EXIT_FAILED = 1
EXIT_USAGE = 2


def demo(
    duration: Annotated[float, typer.Option(help="Seconds for each of the two modes.", metavar="S")] = 10.0,
    rate: Annotated[float, typer.Option(help="Visitors per second; each calls both services.", metavar="N")] = 200.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; the story goes to stderr.")] = False,
    kill_pod: Annotated[
        bool, typer.Option("--kill-pod", help="Kill a replica halfway through the second mode.")
    ] = False,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Show it in kubectl's current cluster, which has the mesh.")
    ] = False,
) -> None:
    """Show what the mesh does for gRPC, first without it, then with it: on this machine, or on Kubernetes."""
    problem = find_problem(duration, rate)
    if kubernetes and kill_pod:
        problem = "--kill-pod is for the demo on this machine; leave it or --kubernetes out"
    if problem:
        _fail(problem, EXIT_USAGE)
    if not kubernetes and find_spec("grpc") is None:
        _fail("the demo's services need grpcio: install gossamer-mesh[demo]", EXIT_FAILED)
    from mesh.demo import story  # here, as these bring asyncio and more to every start of `mesh`
    from mesh.demo.kubernetes import story as kubernetes_story
    from mesh.demo.session import run

    tell = kubernetes_story.tell if kubernetes else story.tell
    raise typer.Exit(run(story.Plan(duration, rate, kill_pod), tell, as_json=as_json))


def find_problem(duration: float, rate: float) -> str | None:
    """What is wrong with the options, as a sentence."""
    for option, value, (low, high) in (("--duration", duration, DURATION_S), ("--rate", rate, RATE)):
        if math.isnan(value) or not low <= value <= high:
            return f"{option} must be between {low:.0f} and {high:.0f}, and {value:g} is not"
    return None


def _fail(message: str, code: int) -> None:
    print(f"mesh demo: {message}", file=sys.stderr)
    raise typer.Exit(code)
