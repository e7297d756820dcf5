"""Whether this process can still open anything. Where it cannot, the event loop drops new connections without a word.

It is found out by trying: counting what is open costs more than one `dup` a second.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource

from proxy.net.log import log

_LOOK_S = 1.0
_OUT = (errno.EMFILE, errno.ENFILE)


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
