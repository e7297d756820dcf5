"""The machine's own pauses, which are no attack's: what jHiccup tells of a JVM's machine, for each core.

Run as `pauses.py CORE FILE`, as root: a process that comes before all others on its core sleeps a millisecond again and
again. When it wakes late nobody could run there: the hypervisor had the core, or the kernel did not let go of it. A
line of FILE is such a pause, `BEGIN END` in seconds of the monotonic clock, which all processes share; the first line
of its output says that it has begun.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from tempfile import TemporaryDirectory

SLEEP_S = 0.001
# Who sleeps so long has not been woken: timers are late by less than a tenth of that.
PAUSE_S = 0.002
PRIORITY = 50
Pause = tuple[float, float]


def watch(core: int, path: Path) -> None:
    """For ever."""
    os.sched_setaffinity(0, {core})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    print("watching", flush=True)
    with path.open("a") as file:
        before_s = time.monotonic()
        while True:
            time.sleep(SLEEP_S)
            now_s = time.monotonic()
            if now_s - before_s > PAUSE_S:
                print(before_s + SLEEP_S, now_s, file=file, flush=True)
            before_s = now_s


@contextmanager
def pauses_noted() -> Iterator[list[Pause]]:
    """Of all cores; the list is filled at the end. RuntimeError where a core is not watched, or was not to the end."""
    pauses: list[Pause] = []
    with TemporaryDirectory() as folder, ExitStack() as stack:
        path = Path(folder, "pauses")
        path.touch()
        watchers = {}
        for core in os.sched_getaffinity(0):
            command = ["setpriv", "--pdeathsig=KILL", sys.executable, __file__, str(core), str(path)]
            watcher = stack.enter_context(Popen(command, stdout=PIPE, text=True))
            stack.callback(watcher.terminate)
            watchers[core] = watcher
            assert watcher.stdout is not None
            if not watcher.stdout.readline():
                raise RuntimeError(f"core {core} cannot be watched for pauses: this needs root, for SCHED_FIFO")
        yield pauses
        for core, watcher in watchers.items():
            if watcher.poll() is not None:
                raise RuntimeError(f"who watched core {core} for pauses has ended ({watcher.returncode}): run it again")
        for line in path.read_text().splitlines():
            begin_s, end_s = map(float, line.split())
            pauses.append((begin_s, end_s))


if __name__ == "__main__":
    watch(int(sys.argv[1]), Path(sys.argv[2]))
