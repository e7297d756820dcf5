"""Bytes to a socket at once. Compiled modules have `csend.pxd` instead: the same in C, without a Python call."""

from __future__ import annotations

import os


def send_now(fd: int, data: bytes) -> int:
    """How many bytes the socket takes now, 0 where its buffer is full; or an error, as a negative errno."""
    try:
        return os.write(fd, data)
    except (BlockingIOError, InterruptedError):
        return 0
    except OSError as error:
        return -(error.errno or 0)
