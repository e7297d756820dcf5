"""Which Events are to be written, and when: equal ones are counted together, and all of them are few. Pure.

A workload of five hundred pods is one Event with a count. An Event that is written again is patched. Namespaces take
turns, and each has a bounded part of a bounded table: who floods us with ever new ones crowds out his own.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from injector.webhook.judgement import Note

ENTRIES_MAX: Final = 1000
NAMESPACE_MAX: Final = 50  # of them in one namespace
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


Entries = OrderedDict[Note, Entry]


class Ledger:
    """Times are seconds of any clock that only grows; the same for all calls. `dropped` counts what was never told."""

    def __init__(self) -> None:
        self.dropped = 0
        self._namespaces: OrderedDict[str, Entries] = OrderedDict()
        self._tokens = BURST
        self._refilled_s: float | None = None

    def add(self, note: Note, now: float) -> None:
        entries = self._namespaces.setdefault(note.about.namespace, OrderedDict())
        entry = entries.get(note)
        if entry is None:
            entry = entries[note] = Entry(note, now, now)
            if len(entries) > NAMESPACE_MAX:
                self._drop(note.about.namespace)
            elif sum(map(len, self._namespaces.values())) > ENTRIES_MAX:
                self._drop(max(self._namespaces, key=lambda name: len(self._namespaces[name])))
        entry.count += 1
        entry.last_s = now

    def _drop(self, namespace: str) -> None:
        """One of its entries: one that has been told, else the oldest."""
        entries = self._namespaces[namespace]
        told = (note for note, entry in entries.items() if entry.written and entry.written == entry.count)
        entry = entries.pop(next(told, None) or next(iter(entries)))
        self.dropped += entry.written < entry.count
        if not entries:
            del self._namespaces[namespace]

    def take(self, now: float, is_last: bool = False) -> list[Entry]:
        """The entries to write now; they count as written. At the end: all that are due.

        Of a namespace the longest waiting first, and the namespaces in turn, which goes on at the next call.
        """
        self._refill(now)
        queue = deque((name, find_due(entries, now, is_last)) for name, entries in self._namespaces.items())
        taken: list[Entry] = []
        while queue and len(taken) < int(self._tokens):
            name, due = queue.popleft()
            if due:
                taken.append(due.popleft())
                self._namespaces.move_to_end(name)
                queue.append((name, due))
        self._tokens -= len(taken)
        for entry in taken:
            entry.written, entry.written_s = entry.count, now
            self._namespaces[entry.note.about.namespace].move_to_end(entry.note)
        self._forget(now)
        return taken

    def _refill(self, now: float) -> None:
        past_s = 0.0 if self._refilled_s is None else now - self._refilled_s
        self._tokens = min(BURST, self._tokens + RATE * past_s)
        self._refilled_s = now

    def _forget(self, now: float) -> None:
        for name, entries in list(self._namespaces.items()):
            for note, entry in list(entries.items()):
                if entry.written == entry.count and now - entry.last_s > FORGET_S:
                    del entries[note]
            if not entries:
                del self._namespaces[name]


def find_due(entries: Entries, now: float, is_last: bool) -> deque[Entry]:
    return deque(
        entry
        for entry in entries.values()
        if entry.count > entry.written and (is_last or now - entry.written_s >= AGAIN_S)
    )
