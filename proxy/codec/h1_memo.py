"""What was read once is not read again: the heads that one direction has seen lately, by their bytes.

An HTTP/1 head stands for itself, so unlike an HTTP/2 block it can be shared by all connections. Invariant: memo on ==
memo off. Bounded in bytes, in two generations: when the young one is full it becomes the old one, and what is still in
use comes over from there. So a stranger who makes each head a new one costs the others one reading, not their entries.
What comes for the first time leaves a mark only: most heads that are new, with a trace's id, never come again.
"""

from __future__ import annotations

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


class HeadMemo:
    """One per direction and worker. `generation_bytes` bounds a generation of each kind, 0 turns the memo off."""

    __slots__ = (
        "generation_bytes",
        "marks",
        "max_bytes",
        "max_fields",
        "max_response_fields",
        "old_requests",
        "old_responses",
        "request_bytes",
        "requests",
        "response_bytes",
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
        self.requests: dict[bytes, RequestHead] = {}
        self.old_requests: dict[bytes, RequestHead] = {}
        self.request_bytes = 0
        self.responses: dict[bytes, ResponseHead] = {}
        self.old_responses: dict[bytes, ResponseHead] = {}
        self.response_bytes = 0

    def count_bytes(self) -> int:
        """What is remembered takes so much, or, of the old generations, as much as it may."""
        old = self.generation_bytes * (bool(self.old_requests) + bool(self.old_responses))
        return self.request_bytes + self.response_bytes + old

    def request(self, raw: bytes) -> RequestHead:
        """The head of these bytes; MessageFault where they are none."""
        known = self.requests.get(raw)
        if known is not None:
            return known
        head = self.old_requests.get(raw)
        if head is None:
            head = read_request(raw, self.max_bytes, self.max_fields)
            if self._is_first(raw):
                return head
        cost_bytes = 2 * len(raw) + ENTRY_BYTES
        if cost_bytes <= self.generation_bytes >> 3:
            self.request_bytes += cost_bytes
            if self.request_bytes > self.generation_bytes:
                self.old_requests = self.requests
                self.requests = {}
                self.request_bytes = cost_bytes
            self.requests[raw] = head
        return head

    def response(self, raw: bytes) -> ResponseHead:
        """The same for a response."""
        known = self.responses.get(raw)
        if known is not None:
            return known
        head = self.old_responses.get(raw)
        if head is None:
            head = read_response(raw, self.max_bytes, self.max_response_fields)
            if self._is_first(raw):
                return head
        cost_bytes = 2 * len(raw) + ENTRY_BYTES
        if cost_bytes <= self.generation_bytes >> 3:
            self.response_bytes += cost_bytes
            if self.response_bytes > self.generation_bytes:
                self.old_responses = self.responses
                self.responses = {}
                self.response_bytes = cost_bytes
            self.responses[raw] = head
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
