"""Lines on stderr, for a person or a log collector. Nothing per request or push ever comes here."""

from __future__ import annotations

import logging
import sys
import time
import traceback

_BUG_LINES_MAX = 100
_bugs_seen = 0


class _Handler(logging.Handler):
    """What libraries and the sources log, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        log(self.format(record))


def take_over_logging() -> None:
    """The process is ours: all that is logged in it comes out as our lines; of libraries, warnings and worse."""
    logging.basicConfig(handlers=[_Handler()], level=logging.WARNING, format="%(message)s")
    logging.getLogger("controlplane").setLevel(logging.INFO)


def log(message: str) -> None:
    """One line with the time in UTC, as RFC 3339."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    try:
        sys.stderr.write(f"{stamp}.{int(now % 1 * 1000):03d}Z {message}\n")
        sys.stderr.flush()
    except OSError:
        return  # a full disk or a closed pipe must not end the service


def log_bug(message: str, error: BaseException) -> None:
    """A fault of ours, with its traceback; only the first ones, so that a peer cannot fill the disk."""
    global _bugs_seen
    _bugs_seen += 1
    if _bugs_seen <= _BUG_LINES_MAX:
        log(f"bug: {message}: " + "".join(traceback.format_exception(error)).rstrip())
