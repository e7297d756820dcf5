"""One endpoint as the balancer sees it: how slow it is, how busy, and whether it works.

Every request that is given to an endpoint calls `begin`, at most once `sample`, and `end` exactly once. Of a stream
only the time to its first response byte is a latency; `pending` counts it to its end. So an hour-long watch weighs as
one request in flight and does not poison its pod.

Invariant: `rtt` and `load` do not write. The `elapsed_s` and `rtt_s` of a request count from its `begin` here, not from
its arrival if it was first tried elsewhere: that is how a probe is told from the requests before it.
"""

from __future__ import annotations

import math
from typing import Any

from proxy.balance.breaker import Breaker
from proxy.balance.ewma import PeakEwma
from proxy.balance.outcome import CANCELLED, EXPIRED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED
from proxy.balance.settings import Settings

_DEFAULTS = Settings()


class Endpoint:
    """`link` belongs to the connection pool, `handles` to the relay, `owner` to the balancer that has the endpoint."""

    __slots__ = (
        "address",
        "breaker",
        "estimate",
        "handles",
        "link",
        "owner",
        "pending",
        "ready",
        "rests_until_s",
        "settings",
        "share",
        "weight",
    )

    def __init__(self, address: tuple[str, int], weight: int = 1) -> None:
        self.address = address
        self.weight = weight
        # The weight relative to the lightest endpoint of the balancer.
        self.share = 1.0
        self.ready = False
        self.pending = 0
        self.rests_until_s = 0.0
        self.link: Any = None
        self.handles: dict[Any, Any] = {}
        self.owner: Any = None
        self.adopt(None, _DEFAULTS)

    def adopt(self, owner: Any, settings: Settings) -> None:
        """Belong to a balancer from now on, and start from its settings."""
        self.owner = owner
        self.settings = settings
        self.estimate = PeakEwma(settings.default_rtt_s, settings.decay_s)
        self.breaker = Breaker(settings)

    @property
    def ejected(self) -> bool:
        """Whether the breaker keeps requests other than probes away."""
        return self.breaker.ejected

    def rtt(self, now: float) -> float:
        """The latency to expect, in seconds.

        Without any sample it is 0 while the endpoint is idle: it is tried at once, with one request. At the default a
        new pod among pods of 1 ms would wait for half a minute, until the default has decayed.
        """
        estimate = self.estimate
        if now < self.rests_until_s:
            return estimate.read(now) + self.settings.penalty_s
        if estimate.known:
            # `estimate.read(now)`, written out: this runs twice per request, and a call costs as much as the rest.
            return estimate.rtt_s * math.exp((estimate.at_s - now) / estimate.decay_s)
        return estimate.rtt_s if self.pending else 0.0

    def load(self, now: float) -> float:
        """`rtt * (pending + 1)`, where a heavier endpoint carries `share` times the pending requests."""
        return self.rtt(now) * (self.pending / self.share + 1.0)

    def begin(self) -> None:
        """A request is on its way to the endpoint."""
        self.pending += 1

    def sample(self, rtt_s: float, now: float) -> None:
        """The first byte of a response that is no fault of the endpoint has come."""
        self.estimate.observe(rtt_s, now)
        if self.breaker.ejected:
            self._answered(rtt_s, now)

    def end(self, outcome: int, elapsed_s: float, sampled: bool, now: float, retry_after_s: float = -1.0) -> None:
        """The request is over. `sampled` says whether `sample` was called for it."""
        self.pending -= 1
        if outcome in (SUCCESS, NEUTRAL):
            if self.breaker.ejected:
                self._answered(elapsed_s, now)
            else:
                self.breaker.success(now)
        elif outcome == FAULT:
            self._failed(elapsed_s, now, retry_after_s)
        elif outcome == UNPROCESSED:
            # Not slow and not broken, but it wants no requests now: the estimate stays true for afterwards.
            self.rests_until_s = now + self.settings.refusal_backoff_s
        elif not sampled:
            # A deadline that ends a stream with a first byte is how watches end, and no failure.
            if outcome == EXPIRED:
                self._failed(elapsed_s, now, retry_after_s)
            elif outcome == CANCELLED:
                # Capped, so that a watch without any event, cancelled after an hour, is no hour of latency.
                self.estimate.raise_to(min(elapsed_s, self.settings.penalty_s), now)

    def _answered(self, elapsed_s: float, now: float) -> None:
        if self.owner is not None and self.breaker.is_probe(elapsed_s, now):
            self.owner.readmit(self)

    def _failed(self, elapsed_s: float, now: float, retry_after_s: float) -> None:
        settings = self.settings
        penalty_s = settings.penalty_s
        wait_s = 0.0
        if retry_after_s >= 0.0:
            penalty_s = wait_s = max(settings.retry_after_min_s, min(retry_after_s, settings.retry_after_max_s))
        self.estimate.raise_to(penalty_s, now)
        breaker = self.breaker
        if not breaker.ejected:
            breaker.fault(now)
            if self.owner is not None:
                self.owner.judge(self, now, wait_s)
        elif breaker.is_probe(elapsed_s, now):
            self.owner.postpone(self, now, wait_s)
