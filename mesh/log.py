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

LINES_MAX: Final = 20  # a minute
_WITHIN_S: Final = 60.0


class Quota:
    """How many lines of a kind that others can cause are written: nobody fills the disk, and nobody ends them for good.

    What was left out is counted, and told with the next line that is written.
    """

    def __init__(self, lines_max: int = LINES_MAX) -> None:
        self._lines_max = lines_max
        self._seen, self._since_s = 0, float("-inf")

    def admit(self) -> bool:
        """Whether the next line may be written."""
        now = time.monotonic()
        if now - self._since_s >= _WITHIN_S:
            left_out = self._seen - self._lines_max
            self._seen, self._since_s = 0, now
            if left_out > 0:
                log(f"{left_out} lines like the next one were left out")
        self._seen += 1
        return self._seen <= self._lines_max


class _Handler(logging.Handler):
    """What libraries log, and modules of the service `own`, in our form."""

    def __init__(self, own: str) -> None:
        super().__init__()
        self._own = f"{own}."
        self._quota = Quota()

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(self._own) and not self._quota.admit():
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


_bugs = Quota()


def log_bug(message: str, error: BaseException) -> None:
    """A fault of ours, with its traceback; so many a minute, since a peer may have found how to cause it."""
    if _bugs.admit():
        trace = "".join(traceback.format_exception(error)).rstrip().split("\n")
        _write([f"bug: {message}: {trace[0]}", *trace[1:]])
