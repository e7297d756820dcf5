"""The command line of `mesh check`. What it does is in `mesh.check.session`."""

from __future__ import annotations

import re
import sys
from typing import Annotated

import typer

from mesh.check.form import Form
from mesh.contract import CONTROL_NAMESPACE

_DURATION = re.compile(r"(\d{1,6})(ms|s|m|h)")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if not found:
        raise typer.BadParameter(f"--wait {text} is no time; write it like 30s or 2m")
    return int(found[1]) * _UNITS_S[found[2]]


def check(
    pre: Annotated[bool, typer.Option("--pre", help="Whether it can be installed.")] = False,
    proxy: Annotated[bool, typer.Option("--proxy", help="Only meshed workloads and what they need.")] = False,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Where it is installed.", metavar="NS")
    ] = CONTROL_NAMESPACE,
    single_namespace: Annotated[
        bool, typer.Option("--single-namespace", help="With --pre: for this namespace only, with rights in it only.")
    ] = False,
    workloads: Annotated[
        str, typer.Option(help="Only workloads of this namespace, with rights in it alone.", metavar="NS")
    ] = "",
    output: Annotated[Form, typer.Option("--output", "-o", help="The form of the answer.")] = Form.TABLE,
    wait: Annotated[
        str, typer.Option(help="Try again until nothing fails, for this long at most.", metavar="TIME")
    ] = "0s",
    kubeconfig: Annotated[
        str | None, typer.Option("--kubeconfig", help="How to reach the cluster (default: as kubectl).", metavar="FILE")
    ] = None,
) -> int:
    """Say what is wrong with an installation, why, and what to do."""
    if pre and proxy:
        raise typer.BadParameter("--pre is for before an installation, --proxy for after it; give one of both")
    if single_namespace and not pre:
        raise typer.BadParameter("--single-namespace needs --pre; afterwards the installation itself says what it is")
    if workloads and pre:
        raise typer.BadParameter("--workloads is for after the installation; leave it or --pre out")
    wait_s = parse_duration(wait)
    try:
        from mesh.check import session
        from mesh.check.facts import Asked
    except ModuleNotFoundError as missing:
        print(
            f"mesh check: {missing.name} is missing, so no cluster can be asked: install gossamer-mesh[controlplane].",
            file=sys.stderr,
        )
        return 1
    asked = Asked(namespace, pre, single_namespace, workloads)
    try:
        return session.check(session.Given(asked, proxy, output, wait_s, kubeconfig))
    except session.Unusable as error:
        print(f"mesh check: {error}.", file=sys.stderr)
        return 1
