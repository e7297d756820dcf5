"""This process's file descriptors: how many it may have, room for them in the kernel, and whether any is left.

Where none is, the event loop drops new connections without a word. It is found out by trying: counting what is open
costs more than one `dup` a second.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import resource

from proxy.net.log import log

_LOOK_S = 1.0
_OUT = (errno.EMFILE, errno.ENFILE)
# What nobody limits is taken for this.
_UNLIMITED = 40_000
# 128 KiB of the kernel's memory.
_PREPARED = 16_384


def raise_descriptors() -> int:
    """Allow this process as many open files as it may have, and say how many these are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _UNLIMITED if hard == resource.RLIM_INFINITY else hard


def prepare_descriptors() -> None:
    """Have the table of descriptors grow now: to be called before there is a second thread, in each process.

    The kernel doubles it whenever it is full, from 64 on. Where threads share it, whoever wanted one more then waits
    until each core has been through the scheduler (synchronize_rcu in expand_fdtable, Linux's fs/file.c): 8 to 24 ms
    each time, in which nobody would be served.
    """
    last = min(raise_descriptors(), _PREPARED) - 1
    any_file = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.close(fcntl.fcntl(any_file, fcntl.F_DUPFD_CLOEXEC, last))
    except OSError:
        pass  # somebody holds the last one, so it has grown
    finally:
        os.close(any_file)


async def watch_descriptors() -> None:
    """Say so once when there are none left, and once when there are some again; until cancelled."""
    are_left = True
    while True:
        await asyncio.sleep(_LOOK_S)
        before, are_left = are_left, can_open()
        if before and not are_left:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            log(f"no file descriptor is left (the limit is {limit}): new connections fail; raise it (ulimit -n)")
        elif are_left and not before:
            log("there are file descriptors again")


def can_open() -> bool:
    try:
        os.close(os.dup(0))
    except OSError as error:
        # Anything else, as that there is no standard input, is no sign of it.
        return error.errno not in _OUT
    return True
