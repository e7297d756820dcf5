"""Lines on stderr, for a person or a log collector. Nothing per request ever comes here.

Invariant: nothing waits for who reads them. A line that a pipe has no room for, or a disk, is lost, and counted on the
next one that gets through: neither a full disk nor a stuck collector may hold up the traffic.
"""

from __future__ import annotations

import os
import select
import time
import traceback
from asyncio import AbstractEventLoop
from typing import Any

_STDERR = 2
# A pipe that is writable takes this much without a wait (POSIX, PIPE_BUF).
_PIECE_BYTES = 4096
_BUG_LINES_MAX = 100
# Of endpoints there can be thousands, and a scan of ports makes as many that fail.
ENDPOINT_LINES_MAX = 60
_ENDPOINT_LINES_WITHIN_S = 60.0
_endpoint_lines = 0
_endpoint_lines_since_s = float("-inf")
_bugs_seen = 0
_lost = 0


def log(message: str) -> None:
    """One line with the time in UTC, as RFC 3339."""
    global _lost
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    before = f"({_lost} lines before this one are lost) " if _lost else ""
    line = f"{stamp}.{int(now % 1 * 1000):03d}Z {before}{message}\n"
    _lost = 0 if write(line.encode(errors="replace")) else _lost + 1


def write(data: bytes) -> bool:
    """Whether all of it went out."""
    poll = select.poll()
    poll.register(_STDERR, select.POLLOUT)
    try:
        while data:
            if not any(events & select.POLLOUT for _, events in poll.poll(0)):
                return False
            data = data[os.write(_STDERR, data[:_PIECE_BYTES]) :]
    except OSError:
        return False
    return True


def log_endpoint(message: str) -> None:
    """That an endpoint fails, or no longer does: so many lines a minute, and then how many were left out."""
    global _endpoint_lines, _endpoint_lines_since_s
    now = time.monotonic()
    if now - _endpoint_lines_since_s >= _ENDPOINT_LINES_WITHIN_S:
        left_out = _endpoint_lines - ENDPOINT_LINES_MAX
        _endpoint_lines, _endpoint_lines_since_s = 0, now
        if left_out > 0:
            log(f"{left_out} lines about endpoints are left out")
    _endpoint_lines += 1
    if _endpoint_lines <= ENDPOINT_LINES_MAX:
        log(message)


def log_bug(message: str, error: BaseException) -> None:
    """A fault of ours, with its traceback; only the first ones, so that a peer cannot fill the disk."""
    global _bugs_seen
    _bugs_seen += 1
    if _bugs_seen <= _BUG_LINES_MAX:
        log(f"bug: {message}: " + "".join(traceback.format_exception(error)).rstrip())


def log_unhandled(_loop: AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio has to say of its tasks and transports; its own log would wait for who does not read it."""
    message, error = str(context.get("message", "unhandled")), context.get("exception")
    log_bug(message, error if isinstance(error, BaseException) else RuntimeError(message))
