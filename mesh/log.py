"""Lines on stderr of the mesh's services, for a person or a log collector. Nothing per request or review comes here.

One call is one line, whatever peers and objects put into it: what is no printable character is written as its escape.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from typing import Final

_LINES_MAX: Final = 100  # of bugs, and of libraries: a peer that finds how to cause them cannot fill the disk
_bugs_seen = 0


class _Handler(logging.Handler):
    """What libraries log, and modules of the service `own`, in our form."""

    def __init__(self, own: str) -> None:
        super().__init__()
        self._own = f"{own}."
        self._seen = 0

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(self._own):
            self._seen += 1
            if self._seen > _LINES_MAX:
                return
        trace = traceback.format_exception(*record.exc_info) if record.exc_info else []
        _write([record.getMessage(), *"".join(trace).rstrip().split("\n")] if trace else [record.getMessage()])


def is_of_use(record: logging.LogRecord) -> bool:
    """gRPC reports with a traceback that a client went away while its call was being answered."""
    error = record.exc_info[1] if record.exc_info else None
    return type(error).__name__ != "ExecuteBatchError"


def take_over_logging(own: str) -> None:
    """The process is of the service `own`: all that is logged in it comes out as our lines; of libraries, warnings."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's C core writes past all of this
    handler = _Handler(own)
    handler.addFilter(is_of_use)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, format="%(message)s")
    logging.getLogger(own).setLevel(logging.INFO)


def log(message: str) -> None:
    """One line with the time in UTC, as RFC 3339."""
    _write([message])


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


def log_bug(message: str, error: BaseException) -> None:
    """A fault of ours, with its traceback; only the first ones, so that a peer cannot fill the disk."""
    global _bugs_seen
    _bugs_seen += 1
    if _bugs_seen <= _LINES_MAX:
        trace = "".join(traceback.format_exception(error)).rstrip().split("\n")
        _write([f"bug: {message}: {trace[0]}", *trace[1:]])
