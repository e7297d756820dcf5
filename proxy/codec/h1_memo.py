"""What was read once is not read again: the heads that one direction has seen lately, by their bytes.

An HTTP/1 head stands for itself, so unlike an HTTP/2 block it can be shared by all connections. Invariant: memo on ==
memo off. Bounded in bytes, in two generations: when the young one is full it becomes the old one, and what is still in
use comes over from there. So a stranger who makes each head a new one costs the others one reading, not their entries.
What comes for the first time leaves a mark only: most heads that are new, with a trace's id, never come again.
"""

from __future__ import annotations

from typing import Any

from proxy.codec.h1_request import RequestHead, read_request
from proxy.codec.h1_response import ResponseHead, read_response
from proxy.codec.limits import DEFAULT_LIMITS, Limits

GENERATION_BYTES = 131_072
# What an entry takes besides its two strings.
ENTRY_BYTES = 900
# Applications set many cookies, and have no more bytes for them than others.
MAX_RESPONSE_FIELDS = 1_000
# A byte of a head's hash stands where other bits of it say. That two heads have the same mark costs an entry.
_MARKS_MASK = 4_095
_MARK_SHIFT = 12


class Generations:
    """Heads of one kind by their bytes. The one that was found last is compared first: hashing a head costs more."""

    __slots__ = ("generation_bytes", "last", "last_raw", "old", "used_bytes", "young")

    def __init__(self, generation_bytes: int) -> None:
        self.generation_bytes = generation_bytes
        self.young: dict[bytes, Any] = {}
        self.old: dict[bytes, Any] = {}
        self.used_bytes = 0
        self.last_raw = b""
        self.last: Any = None

    def find(self, raw: bytes) -> Any:
        """None for what is not remembered."""
        if raw == self.last_raw:
            return self.last
        head = self.young.get(raw)
        if head is None:
            head = self.old.get(raw)
            if head is None:
                return None
            self.keep(raw, head)
        self.last_raw = raw
        self.last = head
        return head

    def keep(self, raw: bytes, head: Any) -> None:
        cost_bytes = 2 * len(raw) + ENTRY_BYTES
        if cost_bytes > self.generation_bytes >> 3:
            return
        self.used_bytes += cost_bytes
        if self.used_bytes > self.generation_bytes:
            self.old = self.young
            self.young = {}
            self.used_bytes = cost_bytes
            if self.last_raw:  # It may be in use all the time, without being looked up.
                self.young[self.last_raw] = self.last
                self.used_bytes += 2 * len(self.last_raw) + ENTRY_BYTES
        self.young[raw] = head

    def count_bytes(self) -> int:
        """What it holds, but of the old generation as much as it may hold."""
        return self.used_bytes + (self.generation_bytes if self.old else 0)


class HeadMemo:
    """One per direction and worker. `generation_bytes` bounds a generation of each kind, 0 turns the memo off."""

    __slots__ = (
        "generation_bytes",
        "marks",
        "max_bytes",
        "max_fields",
        "max_response_fields",
        "requests",
        "responses",
    )

    def __init__(self, limits: Limits = DEFAULT_LIMITS, generation_bytes: int = GENERATION_BYTES) -> None:
        self.generation_bytes = generation_bytes
        self.configure(limits)

    def configure(self, limits: Limits) -> None:
        """Other limits from now on."""
        self.max_bytes = limits.max_header_bytes
        self.max_fields = limits.max_header_fields
        self.max_response_fields = max(limits.max_header_fields, MAX_RESPONSE_FIELDS)
        self.forget()

    def forget(self) -> None:
        self.marks = bytearray(_MARKS_MASK + 1)
        self.requests = Generations(self.generation_bytes)
        self.responses = Generations(self.generation_bytes)

    def count_bytes(self) -> int:
        return self.requests.count_bytes() + self.responses.count_bytes()

    def request(self, raw: bytes) -> RequestHead:
        """The head of these bytes; MessageFault where they are none."""
        head: RequestHead | None = self.requests.find(raw)
        if head is None:
            head = read_request(raw, self.max_bytes, self.max_fields)
            if not self._is_first(raw):
                self.requests.keep(raw, head)
        return head

    def response(self, raw: bytes) -> ResponseHead:
        """The same for a response."""
        head: ResponseHead | None = self.responses.find(raw)
        if head is None:
            head = read_response(raw, self.max_bytes, self.max_response_fields)
            if not self._is_first(raw):
                self.responses.keep(raw, head)
        return head

    def _is_first(self, raw: bytes) -> bool:
        """Whether the head has left no mark yet; it has from now on."""
        marks = self.marks
        digest = hash(raw)
        at = digest & _MARKS_MASK
        mark = digest >> _MARK_SHIFT & 0xFF
        if marks[at] == mark:
            return False
        marks[at] = mark
        return True
