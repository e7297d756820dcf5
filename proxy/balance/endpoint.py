"""One endpoint as the balancer sees it: how slow it is, how busy, and whether it works.

Every request that is given to an endpoint calls `begin`, at most once `sample`, and `end` exactly once. Of a stream
only the time to its first response byte is a latency; `pending` counts it to its end. So an hour-long watch weighs as
one request in flight and does not poison its pod.

A pod that is frozen takes requests and never ends one, so nothing is ever measured and its estimate decays to nothing.
Hence the silence counts as well: the time since the first request that was begun after the last sign of life. A watch
or an upload that waits beside others is no silence, since any answer that comes after its begin is one.

Invariants: `rtt` and `load` do not write; without unanswered requests there is no silence. The `elapsed_s` and `rtt_s`
of a request count from its `begin` here, not from its arrival if it was first tried elsewhere: that is how a probe is
told from the requests before it.
"""

from __future__ import annotations

import math
from typing import Any

from proxy.balance.breaker import Breaker
from proxy.balance.ewma import PeakEwma
from proxy.balance.outcome import CANCELLED, EXPIRED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED
from proxy.balance.settings import Settings

_DEFAULTS = Settings()
_NEVER = float("inf")


class Endpoint:
    """`link` belongs to the connection pool, `handles` to the relay, `owner` to the balancer that has the endpoint."""

    __slots__ = (
        "_silence_min_s",
        "address",
        "asked_at_s",
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
        "silent_since_s",
        "unanswered",
        "weight",
    )

    def __init__(self, address: tuple[str, int], weight: int = 1) -> None:
        self.address = address
        self.weight = weight
        # The weight relative to the lightest endpoint of the balancer.
        self.share = 1.0
        self.ready = False
        self.pending = 0
        # Requests that are neither sampled nor over.
        self.unanswered = 0
        # Begin of the first request after the last sign of life, and of the latest one.
        self.silent_since_s = _NEVER
        self.asked_at_s = 0.0
        self.rests_until_s = 0.0
        self.link: Any = None
        self.handles: dict[Any, Any] = {}
        self.owner: Any = None
        self.adopt(None, _DEFAULTS)

    def adopt(self, owner: Any, settings: Settings) -> None:
        """Belong to a balancer from now on, and start from its settings."""
        self.owner = owner
        self.settings = settings
        self._silence_min_s = settings.silence_min_s
        self.estimate = PeakEwma(settings.default_rtt_s, settings.decay_s)
        self.breaker = Breaker(settings)

    def renew(self) -> None:
        """It could not be reached: what was measured is of a process that is gone, and says nothing of the next one.

        The breaker forgets nothing: one that fails whatever it is asked, and crashes, is ejected all the same.
        """
        self.estimate = PeakEwma(self.settings.default_rtt_s, self.settings.decay_s)

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
            rtt_s = estimate.read(now) + self.settings.penalty_s
        elif estimate.known:
            # `estimate.read(now)`, written out: this runs twice per request, and a call costs as much as the rest.
            rtt_s = estimate.rtt_s * math.exp((estimate.at_s - now) / estimate.decay_s)
        else:
            rtt_s = estimate.rtt_s if self.pending else 0.0
        if now - self.silent_since_s > self._silence_min_s:
            return self._weigh_silence(rtt_s, now)
        return rtt_s

    def load(self, now: float) -> float:
        """`rtt * (pending + 1)`, where a heavier endpoint carries `share` times the pending requests."""
        return self.rtt(now) * (self.pending / self.share + 1.0)

    def begin(self, now: float) -> None:
        """A request is on its way to the endpoint."""
        self.pending += 1
        self.unanswered += 1
        self.asked_at_s = now
        if self.silent_since_s == _NEVER:
            self.silent_since_s = now

    def sample(self, rtt_s: float, now: float) -> None:
        """The first byte of a response that is no fault of the endpoint has come."""
        self.unanswered -= 1
        self.silent_since_s = _NEVER
        self.estimate.observe(min(rtt_s, self.settings.penalty_s), now)
        if self.breaker.ejected:
            self._answered(rtt_s, now)

    def end(self, outcome: int, elapsed_s: float, sampled: bool, now: float, retry_after_s: float = -1.0) -> None:
        """The request is over. `sampled` says whether `sample` was called for it."""
        self.pending -= 1
        if not sampled:
            self.unanswered -= 1
        # Only the endpoint can end its silence: a client that gives up, or a timeout, is no sign of life.
        if outcome in (SUCCESS, NEUTRAL, UNPROCESSED) or not self.unanswered:
            self.silent_since_s = _NEVER
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

    def _weigh_silence(self, rtt_s: float, now: float) -> float:
        """What has lasted so long is at least the latency, up to the penalty.

        But once as much time has passed after the latest request as before it, the next one may come at `rtt_s`: a
        live endpoint that holds a few watches shows itself by its answer, a frozen one gets a request per doubling of
        its silence. (The penalty alone would starve the live one for ever: nothing else ends its silence.)
        """
        asked_s = self.asked_at_s - self.silent_since_s
        if now - self.asked_at_s >= min(asked_s, self.settings.backoff_max_s):
            # The default does not decay, and would keep an endpoint away that was never measured.
            return rtt_s if self.estimate.known else 0.0
        return max(rtt_s, min(now - self.silent_since_s, self.settings.penalty_s))

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
        elif self.owner is not None and breaker.is_probe(elapsed_s, now):
            self.owner.postpone(self, now, wait_s)
