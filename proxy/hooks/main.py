"""`mesh proxy await` and `mesh proxy drain`: options in, exit code out."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from proxy.hooks.arguments import parse
from proxy.hooks.command import CannotRun, replace_by, run_below
from proxy.hooks.sidecar import NoAnswer, ask, wait_ready

_DISABLED = "GOSSAMER_AWAIT_DISABLED"
_SHUTDOWN_S = 5.0


def main(argv: list[str]) -> int:
    """`argv` begins with the command's name."""
    arguments, command = parse(argv)
    name = argv[0]
    # Process 1 of a container has none of these unless it asks.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return wait(arguments, command) if name == "await" else drain(arguments)
    except NoAnswer as reason:
        return say(name, f"gave up waiting for the sidecar at {arguments.admin}: {reason}", 1)
    except CannotRun as error:
        return say(name, str(error), error.code)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def wait(arguments: argparse.Namespace, command: list[str]) -> int:
    enabled = not os.environ.get(_DISABLED)
    if enabled:
        wait_ready(arguments.admin, arguments.timeout_s)
    if not command:
        return 0
    if not (enabled and arguments.shutdown):
        replace_by(command)
    try:
        return run_below(command)
    finally:
        shut_down(arguments)


def shut_down(arguments: argparse.Namespace) -> None:
    """What the command has done counts, not whether this works."""
    try:
        ask(arguments.admin, "POST", "/shutdown", _SHUTDOWN_S)
    except NoAnswer as reason:
        say("await", f"the sidecar at {arguments.admin} was not ended: {reason}", 1)


def drain(arguments: argparse.Namespace) -> int:
    try:
        say("drain", ask(arguments.admin, "POST", "/drain", arguments.timeout_s), 0)
    except NoAnswer as reason:
        return say("drain", f"the sidecar at {arguments.admin} was not drained: {reason}", 1)
    return 0


def say(name: str, sentence: str, code: int) -> int:
    sys.stderr.write(f"mesh proxy {name}: {sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
