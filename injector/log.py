"""Lines on stderr, for a person or a log collector. Nothing per review ever comes here.

One call is one line, whatever objects and peers put into it: what is no printable character is written as its escape.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from typing import Final

_LINES_MAX: Final = 100  # of bugs, and of libraries: a peer that finds how to cause them cannot fill the disk
_bugs_seen = 0


class _Handler(logging.Handler):
    """What libraries log, in our form."""

    def __init__(self) -> None:
        super().__init__()
        self._seen = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._seen += 1
        if self._seen > _LINES_MAX:
            return
        trace = traceback.format_exception(*record.exc_info) if record.exc_info else []
        _write([record.getMessage(), *"".join(trace).rstrip().split("\n")] if trace else [record.getMessage()])


def take_over_logging() -> None:
    """The process is ours: what libraries log in it, from warnings on, comes out as our lines."""
    logging.basicConfig(handlers=[_Handler()], level=logging.WARNING, format="%(message)s")


def log(message: str) -> None:
    """One line with the time in UTC, as RFC 3339."""
    _write([message])


def log_bug(message: str, error: BaseException) -> None:
    """A fault of ours, with its traceback; only the first ones, so that a peer cannot fill the disk."""
    global _bugs_seen
    _bugs_seen += 1
    if _bugs_seen <= _LINES_MAX:
        trace = "".join(traceback.format_exception(error)).rstrip().split("\n")
        _write([f"bug: {message}: {trace[0]}", *trace[1:]])


def _write(lines: list[str]) -> None:
    """All but the first are indented: nobody can take them for lines of ours."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    text = "\n    ".join(map(escape, lines))
    try:
        sys.stderr.write(f"{stamp}.{int(now % 1 * 1000):03d}Z {text}\n")
        sys.stderr.flush()
    except OSError:
        return  # a full disk or a closed pipe must not end the service


def escape(text: str) -> str:
    """Nothing in it can end a line, move the cursor or turn the direction of writing."""
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else ascii(char)[1:-1] for char in text])
