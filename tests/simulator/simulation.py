"""A discrete-event simulator of clients, one balancer and its pods, under a virtual clock.

It exists to hold the balancer's claims (DESIGN 3.3) in seconds instead of hours, the same on every run: the real
`Balancer` and `Endpoint` run, only time, the pods and the network are made up. It speaks to them as the relay does.

Invariant: the same seed and pods give the same run; `now` never goes backwards.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from proxy.balance.endpoint import Endpoint
from proxy.balance.outcome import CANCELLED, EXPIRED, FAULT, SUCCESS
from proxy.balance.p2c import Balancer
from proxy.balance.settings import Settings

# A day of machine uptime: a clock does not begin at zero.
START_S = 86_400.0
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a pod makes of one request: its first byte and its end, from the request's begin on."""

    first_byte_s: float
    outcome: int = SUCCESS
    length_s: float = 0.0


# (seconds since the start of the simulation, random numbers, requests in the pod) -> Reply
Pod = Callable[[float, Random, int], Reply]


@dataclass(frozen=True, slots=True)
class Traffic:
    """`in_flight` clients, each with one request at a time and a pause of about `think_s` between two."""

    in_flight: int
    deadline_s: float = NEVER
    patience_s: float = NEVER
    think_s: float = 0.0


@dataclass(slots=True)
class Phase:
    """What happened during one `run`."""

    picks: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, int]] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    most_ejected: int = 0
    denied: int = 0

    def share(self, name: str) -> float:
        """The pod's part of all requests."""
        return self.picks[name] / self.picks.total()


class Simulation:
    """Pods by name behind one balancer; call `run` once per phase, change `pods` between phases."""

    def __init__(
        self,
        pods: dict[str, Pod],
        traffic: Traffic,
        seed: int,
        weights: dict[str, int] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.pods = dict(pods)
        self.traffic = traffic
        self.now = START_S
        self.rng = Random(seed)
        self.phase = Phase()
        weights = weights or {}
        self.endpoints = {name: Endpoint((name, 80), weights.get(name, 1)) for name in pods}
        self.balancer = Balancer(self.endpoints.values(), settings or Settings())
        for endpoint in self.balancer.endpoints:
            self.balancer.set_ready(endpoint, True)
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._sequence = 0
        for _ in range(traffic.in_flight):
            self._after(self.rng.random() * max(traffic.think_s, 0.001), self._start)

    def run(self, duration_s: float) -> Phase:
        """Let so much virtual time pass."""
        self.phase = Phase()
        until = self.now + duration_s
        events = self._events
        while events and events[0][0] <= until:
            self.now, _, event, arguments = heapq.heappop(events)
            event(*arguments)
        self.now = until
        return self.phase

    def _after(self, delay_s: float, event: Callable[..., None], *arguments: object) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (self.now + delay_s, self._sequence, event, arguments))

    def _start(self) -> None:
        endpoint = self.balancer.pick(self.now, self.rng.random)
        if endpoint is None:
            self.phase.denied += 1
            self._after(0.01, self._start)
            return
        name = endpoint.address[0]
        self.phase.picks[name] += 1
        reply = self.pods[name](self.now - START_S, self.rng, endpoint.pending)
        endpoint.begin(self.now)
        self._plan(endpoint, reply)

    def _plan(self, endpoint: Endpoint, reply: Reply) -> None:
        begun, traffic = self.now, self.traffic
        limit_s = min(traffic.deadline_s, traffic.patience_s)
        end_s = reply.first_byte_s + reply.length_s
        sampled = reply.first_byte_s <= limit_s and reply.outcome != FAULT
        if sampled and reply.length_s:
            self._after(reply.first_byte_s, self._sample, endpoint, begun)
        outcome = reply.outcome
        if end_s > limit_s:
            end_s = limit_s
            outcome = EXPIRED if traffic.deadline_s <= traffic.patience_s else CANCELLED
        if end_s < NEVER:
            self._after(end_s, self._end, endpoint, begun, outcome, sampled, reply.length_s == 0.0)

    def _sample(self, endpoint: Endpoint, begun: float) -> None:
        endpoint.sample(self.now - begun, self.now)

    def _end(self, endpoint: Endpoint, begun: float, outcome: int, sampled: bool, unary: bool) -> None:
        if sampled and unary:
            self._sample(endpoint, begun)
        endpoint.end(outcome, self.now - begun, sampled, self.now)
        phase = self.phase
        phase.outcomes[endpoint.address[0], outcome] += 1
        phase.latencies_s.append(self.now - begun)
        phase.most_ejected = max(phase.most_ejected, sum(e.ejected for e in self.balancer.endpoints))
        # Without the noise clients that once coincide would stay in step for ever.
        self._after(self.traffic.think_s * (0.5 + self.rng.random()), self._start)


def steady(latency_s: float, spread: float = 0.0) -> Pod:
    """Answers in about `latency_s`: a lognormal whose sigma is `spread`, the usual shape of service times."""

    def answer(now: float, rng: Random, busy: int) -> Reply:
        return Reply(rng.lognormvariate(0.0, spread) * latency_s if spread else latency_s)

    return answer


def black_hole(now: float, rng: Random, busy: int) -> Reply:
    """Takes requests and never answers."""
    return Reply(NEVER)


def failing(latency_s: float, outcome: int = FAULT) -> Pod:
    """Fails every request, fast."""

    def answer(now: float, rng: Random, busy: int) -> Reply:
        return Reply(latency_s, outcome)

    return answer
