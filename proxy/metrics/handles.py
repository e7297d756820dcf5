"""The handles that the data path counts with: one for each set of labels, got once and kept in the memoised decision.

Counting is a plain attribute or list item, half a microsecond even uncompiled; everything else waits for the scrape.
The contract: each `requests += 1` is followed by exactly one `observe`, when the request ends in whatever way, and each
`opened += 1` by one `close`. A handle that still owes one is never evicted.
"""

from __future__ import annotations

from proxy.metrics.labels import Labels

# Linkerd's: 1-5, 10-50, 100-500, 1000-5000, 10000-50000, and one more bucket for what is slower.
LATENCY_BOUNDS_MS = tuple(digit * 10**power for power in range(5) for digit in range(1, 6))
_BOUNDS_MS = tuple(float(bound) for bound in LATENCY_BOUNDS_MS)

MAX_OUTCOMES = 64  # of a handle; status codes come from outside
NO_STATUS = 0  # the request ended before there was a response
OTHER_STATUS = 1  # there were too many different outcomes
NO_GRPC_STATUS = -1  # not gRPC, or ended before there was a grpc-status
UNKNOWN = 2  # what gRPC clients make of a grpc-status that is none
MAX_GRPC_STATUS = 16


class HttpMetrics:
    """Requests and responses of one set of labels.

    Most requests end like the one before, and as fast: so many are counted aside before they are put to the others.
    """

    __slots__ = (
        "_at",
        "_buckets",
        "_outcome",
        "_responses",
        "_run",
        "idle_since",
        "labels",
        "latency_sum_ms",
        "requests",
        "seen",
    )

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.requests = 0
        self._responses: dict[int, int] = {}
        self._buckets = [0] * (len(LATENCY_BOUNDS_MS) + 1)
        # How many in a row had this outcome, and came into this bucket.
        self._outcome = 0
        self._at = 0
        self._run = 0
        self.latency_sum_ms = 0.0
        self.seen = -1
        self.idle_since = 0.0

    def observe(self, success: bool, status: int, grpc_status: int, latency_ms: float) -> None:
        """Count the end of a request; NO_STATUS and NO_GRPC_STATUS where there was none."""
        if not -1 <= grpc_status <= MAX_GRPC_STATUS:
            grpc_status = UNKNOWN
        outcome = status << 6 | (grpc_status + 1) << 1 | success
        at = 0
        for bound in _BOUNDS_MS:
            if latency_ms <= bound:
                break
            at += 1
        if outcome != self._outcome or at != self._at:
            self._settle()
            self._outcome = outcome
            self._at = at
        self._run += 1
        self.latency_sum_ms += latency_ms

    def _settle(self) -> None:
        if not self._run:
            return
        outcome = self._outcome
        if outcome not in self._responses and len(self._responses) >= MAX_OUTCOMES:
            outcome = OTHER_STATUS << 6 | outcome & 1
        self._responses[outcome] = self._responses.get(outcome, 0) + self._run
        self._buckets[self._at] += self._run
        self._run = 0

    @property
    def responses(self) -> dict[int, int]:
        """By outcome: status << 6 | (grpc_status + 1) << 1 | success."""
        self._settle()
        return self._responses

    @property
    def buckets(self) -> list[int]:
        """How many took at most each of LATENCY_BOUNDS_MS and more than the one before, and how many were slower."""
        self._settle()
        return self._buckets

    def activity(self) -> int:
        return self.requests + sum(self.buckets)

    def is_open(self) -> bool:
        return self.requests > sum(self.buckets)


class TcpMetrics:
    """Connections and bytes of one set of labels."""

    __slots__ = ("closed", "idle_since", "labels", "opened", "read_bytes", "seen", "write_bytes")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.opened = 0
        self.closed: dict[str, int] = {}  # by errno's name, empty for an orderly end
        self.read_bytes = 0
        self.write_bytes = 0
        self.seen = -1
        self.idle_since = 0.0

    def close(self, errno_name: str = "") -> None:
        """Count the end of a connection, with the name of the error that ended it (`ECONNRESET`)."""
        self.closed[errno_name] = self.closed.get(errno_name, 0) + 1

    def open_connections(self) -> int:
        return self.opened - sum(self.closed.values())

    def activity(self) -> int:
        return self.opened + self.read_bytes + self.write_bytes + sum(self.closed.values())

    def is_open(self) -> bool:
        return self.open_connections() > 0


def outcome_labels(outcome: int) -> Labels:
    """Name what `HttpMetrics.observe` put into one number."""
    status, grpc_status, success = outcome >> 6, (outcome >> 1 & 31) - 1, outcome & 1
    labels = [("classification", "success" if success else "failure")]
    if status != NO_STATUS:
        labels.append(("status_code", "overflow" if status == OTHER_STATUS else str(status)))
    if grpc_status != NO_GRPC_STATUS:
        labels.append(("grpc_status", str(grpc_status)))
    return tuple(labels)
