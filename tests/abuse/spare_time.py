"""What attackers may take of this machine while figures are measured: the CPU that nobody else wants.

They attack from elsewhere in earnest; here they share the cores with the sidecar and the honest clients, and what these
would lose to them says nothing about the sidecar. sched(7): a thread of SCHED_IDLE makes way for all others at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def list_threads(pid: int | str = "self") -> list[int]:
    """Those of a process."""
    return [int(name) for name in os.listdir(f"/proc/{pid}/task")]


def set_policy(threads: Iterable[int], policy: int) -> None:
    for thread in threads:
        try:
            os.sched_setscheduler(thread, policy, os.sched_param(0))
        except ProcessLookupError:
            continue  # it has ended


@contextmanager
def in_spare_time(threads: Iterable[int]) -> Iterator[None]:
    """These threads, and those that they start."""
    threads = list(threads)
    set_policy(threads, os.SCHED_IDLE)
    try:
        yield
    finally:
        if threads:
            set_policy(list_threads(), os.SCHED_OTHER)
