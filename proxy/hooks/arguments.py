"""The command lines of `mesh proxy await` and `mesh proxy drain`."""

from __future__ import annotations

import argparse

from mesh.contract import ADMIN_PORT
from mesh.options import Once
from proxy.config.values import ValueProblem, parse_address, parse_duration
from proxy.route.model import Address

_AWAIT_EPILOG = """\
examples:
  mesh proxy await -- ./server --port 8080             an entry point: starts the server once the sidecar is ready
  mesh proxy await --shutdown -- ./job                 the same for a job, whose end is the sidecar's end too
  mesh proxy await --timeout 30s                       a postStart hook of the sidecar's container

COMMAND replaces this process. With --shutdown it runs below it: it is passed all signals, and its exit code is this
one's (128 and the signal's number if a signal ended it). If GOSSAMER_AWAIT_DISABLED is set, COMMAND is run as if there
were no sidecar. Exit codes of its own: 1 if the sidecar was not ready in time, 2 for wrong usage, 126 and 127 if
COMMAND cannot be run.
"""
_DRAIN_EPILOG = """\
Run it as the preStop hook of the sidecar's container: it returns when the pod's removal has had time to spread
(GOSSAMER_DRAIN_DELAY of the sidecar, 5s) and all who call this pod have been told to go elsewhere. Until then new
connections are served as ever, from then on they are refused; what is open may finish (GOSSAMER_DRAIN_TIMEOUT). Exit
codes: 0, 1 if the sidecar does not answer, 2 for wrong usage.
"""


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What follows a command's name, and the COMMAND after `--`."""
    name, rest, command = argv[0], argv[1:], []
    if name == "await" and "--" in rest:
        cut = rest.index("--")
        rest, command = rest[:cut], rest[cut + 1 :]
    parser = make_await_parser() if name == "await" else make_drain_parser()
    parser.add_argument("--admin", metavar="HOST:PORT", action=Once, help=f"default: 127.0.0.1:{ADMIN_PORT}")
    arguments, strange = parser.parse_known_args(rest)
    if strange:
        hint = " (write -- before COMMAND)" if name == "await" else ""
        parser.error(f"unrecognized: {' '.join(strange)}{hint}")
    if name == "await" and arguments.shutdown and not command:
        parser.error("--shutdown needs a COMMAND, whose end it waits for")
    try:
        arguments.admin = parse_address(arguments.admin) if arguments.admin else Address("127.0.0.1", ADMIN_PORT)
        arguments.timeout_s = parse_seconds(arguments.timeout)
    except ValueProblem as problem:
        parser.error(str(problem))
    return arguments, command


def make_await_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mesh proxy await",
        usage="mesh proxy await [-h] [--admin HOST:PORT] [--timeout TIME] [--shutdown] [-- COMMAND...]",
        description="Wait until the sidecar is ready, then run a command.",
        epilog=_AWAIT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--timeout", metavar="TIME", default="2m", help="how long to wait (default 2m)")
    parser.add_argument("--shutdown", action="store_true", help="end the sidecar when COMMAND has ended")
    return parser


def make_drain_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mesh proxy drain",
        description="Tell those who call this pod to go elsewhere, before it ends.",
        epilog=_DRAIN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--timeout", metavar="TIME", default="2m", help="how long to wait for it (default 2m)")
    return parser


def parse_seconds(text: str) -> float:
    """A duration; a number alone is in seconds."""
    return parse_duration(f"{text}s" if text.replace(".", "", 1).isdigit() else text)
