"""Which Events are to be written, and when: equal ones are counted together, and all of them are few. Pure.

A workload of five hundred pods is one Event with a count. An Event that is written again is patched; who floods us with
ever new ones fills a bounded table, and what does not fit is counted as dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from injector.webhook.judgement import Note

ENTRIES_MAX: Final = 1000
AGAIN_S: Final = 10.0  # an Event that has been written is not written again before
FORGET_S: Final = 600.0
RATE: Final = 5.0  # Events a second, after
BURST: Final = 25.0


@dataclass(slots=True)
class Entry:
    """`name` is that of the Event in the API, empty until it was written."""

    note: Note
    first_s: float
    last_s: float
    count: int = 0
    written: int = 0
    written_s: float = float("-inf")
    name: str = ""


class Ledger:
    """Times are seconds of any clock that only grows; the same for all calls."""

    def __init__(self) -> None:
        self.dropped = 0
        self._entries: OrderedDict[Note, Entry] = OrderedDict()
        self._tokens = BURST
        self._refilled_s: float | None = None

    def add(self, note: Note, now: float) -> None:
        entry = self._entries.get(note)
        if entry is None:
            if len(self._entries) >= ENTRIES_MAX:
                self.dropped += 1
                return
            entry = self._entries[note] = Entry(note, now, now)
        entry.count += 1
        entry.last_s = now

    def take(self, now: float, is_last: bool = False) -> list[Entry]:
        """The entries to write now, the longest waiting first; they count as written. At the end: all that are due."""
        self._refill(now)
        due = [entry for entry in self._entries.values() if is_due(entry, now, is_last)]
        taken = due[: int(self._tokens)]
        self._tokens -= len(taken)
        for entry in taken:
            entry.written, entry.written_s = entry.count, now
            self._entries.move_to_end(entry.note)
        self._forget(now)
        return taken

    def _refill(self, now: float) -> None:
        past_s = 0.0 if self._refilled_s is None else now - self._refilled_s
        self._tokens = min(BURST, self._tokens + RATE * past_s)
        self._refilled_s = now

    def _forget(self, now: float) -> None:
        for note, entry in list(self._entries.items()):
            if entry.written == entry.count and now - entry.last_s > FORGET_S:
                del self._entries[note]


def is_due(entry: Entry, now: float, is_last: bool) -> bool:
    return entry.count > entry.written and (is_last or now - entry.written_s >= AGAIN_S)
