"""The processes of the demo: each in its own group, each with a log, none of them left behind.

Three things see to that: `stop_all` ends and reaps every group; the kernel kills a child whose parent dies in any other
way (PR_SET_PDEATHSIG); and starting one is a single step for asyncio, so that a cancellation cannot fall between the
fork and the entry in the list. A Ctrl-C of the terminal goes to the demo alone, as its children are in other groups.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

STOP_TIMEOUT_S = 3.0
LINE_LIMIT_BYTES = 1 << 24
LOG_TAIL_LINES = 8
POLL_EVERY_S = 0.05

_PR_SET_PDEATHSIG = 1
_ROOT = Path(__file__).resolve().parents[2]  # where the packages `mesh` and `proxy` are


class DemoError(Exception):
    """A part of the demo failed; the message is a sentence for the user, and the end of what the part wrote."""


class Child:
    """A running process of the demo."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self._log = log
        self._pipe: asyncio.ReadTransport | None = None

    def signal_group(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass  # the whole group has ended

    def kill(self) -> None:
        """Kill it as the kernel's OOM killer would, and return when it is gone."""
        self.signal_group(signal.SIGKILL)
        self.process.wait()

    def failure(self, what: str) -> DemoError:
        """An error that says `what` befell this process, with the end of its log."""
        log = log_tail(self._log)
        return DemoError(f"{self.name} {what}; " + (f"its log ends with:\n{log}" if log else "its log is empty"))

    def start_failure(self) -> DemoError:
        code = self.process.poll()
        return self.failure("did not get ready in time" if code is None else f"did not start ({describe_exit(code)})")

    def check_success(self) -> None:
        if self.process.returncode:
            raise self.failure(f"failed ({describe_exit(self.process.returncode)})")

    async def wait(self) -> None:
        while self.process.poll() is None:  # noqa: ASYNC110  # there is no event: the kernel tells by SIGCHLD only
            await asyncio.sleep(POLL_EVERY_S)

    async def lines(self) -> asyncio.StreamReader:
        """Its stdout, to be read line by line."""
        reader = asyncio.StreamReader(limit=LINE_LIMIT_BYTES)
        loop = asyncio.get_running_loop()
        protocol = asyncio.StreamReaderProtocol(reader)
        self._pipe, _ = await loop.connect_read_pipe(lambda: protocol, self.process.stdout)
        return reader

    def close_pipe(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        elif self.process.stdout is not None:
            self.process.stdout.close()


class Children:
    """All processes of one demo."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._children: list[Child] = []
        self._released: set[Child] = set()

    def start(self, name: str, arguments: list[str], *, reports: bool) -> Child:
        """Run this Python with `arguments`, from the same source tree as the demo itself whatever the directory.

        The stdout of a process that `reports` is a pipe to be read; another's goes to its log.
        """
        log = self._directory / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if reports else output,
                stderr=output,
                env=_environment(),
                process_group=0,
                preexec_fn=_die_with(os.getpid()),
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def release(self, child: Child) -> None:
        """From now on it is no failure that this process ends. It is still stopped with the others."""
        self._released.add(child)

    def check(self, besides: Child) -> None:
        """Raise if a process has ended: none does so by itself but a web front, whose own watcher knows."""
        for child in self._children:
            code = child.process.poll()
            if code is not None and child is not besides and child not in self._released:
                raise child.failure(f"ended unexpectedly ({describe_exit(code)})")

    def stop_all(self) -> None:
        """End every process: politely, and after a while not."""
        for child in self._children:
            child.signal_group(signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_TIMEOUT_S
        for child in self._children:
            try:
                child.process.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            child.kill()
            child.close_pipe()


def _environment() -> dict[str, str]:
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "GRPC_VERBOSITY": "ERROR"}


def _die_with(parent: int) -> Callable[[], None]:
    """What the child does before it becomes the program: ask to be killed when `parent` dies, and see that it lives."""
    libc = ctypes.CDLL(None)

    def prepare() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return prepare


def describe_exit(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def log_tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])
