"""Several workers on one port (SO_REUSEPORT), each a process of its own: `--workers N`.

They share nothing: each has its own balancer, breakers and connections, so one worker is the default (DESIGN 3.1). The
parent only passes signals on and waits.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_workers(count: int, run: Callable[[int], int]) -> int:
    """Call `run(index)` in `count` processes; the worst of their exit codes. One that fails ends the others.

    `run` has SIGNALS blocked, and takes them when it can obey: until then they would kill it, or be lost on process 1.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if count == 1:
        return run(0)
    pids: set[int] = set()
    for index in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(run(index))
        pids.add(pid)

    def pass_on(number: int, _frame: object) -> None:
        for pid in pids:
            os.kill(pid, number)

    for number in SIGNALS:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    worst = 0
    while pids:
        pid, status = os.wait()
        pids.discard(pid)
        code = os.waitstatus_to_exitcode(status)
        worst = max(worst, 1 if code < 0 else code)
        if code != 0:
            pass_on(signal.SIGTERM, None)
    return worst
