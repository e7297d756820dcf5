"""Any order of picks, outcomes, connection changes and endpoint updates keeps the balancer's invariants."""

from __future__ import annotations

from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxy.balance.endpoint import Endpoint
from proxy.balance.outcome import CANCELLED, EXPIRED, FAULT, NEUTRAL, SUCCESS, UNPROCESSED
from proxy.balance.p2c import Balancer

OUTCOMES = [SUCCESS, FAULT, NEUTRAL, CANCELLED, EXPIRED, UNPROCESSED]
hosts = st.integers(0, 5)


class Conversation(RuleBasedStateMachine):
    """What the relay, the pool and the control plane may do to a balancer."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.rng = Random(1)
        self.balancer = Balancer()
        self.requests: list[tuple[Endpoint, float, bool]] = []

    @rule(wanted=st.dictionaries(hosts, st.integers(1, 5)))
    def replace(self, wanted: dict[int, int]) -> None:
        before = list(self.balancer.endpoints)
        removed = self.balancer.replace(Endpoint((str(host), 80), weight) for host, weight in wanted.items())
        assert removed == [endpoint for endpoint in before if int(endpoint.address[0]) not in wanted]
        assert [(int(e.address[0]), e.weight) for e in self.balancer.endpoints] == list(wanted.items())
        assert all(e in self.balancer.endpoints for e in before if e not in removed)

    @rule(host=hosts, ready=st.booleans())
    def connect(self, host: int, ready: bool) -> None:
        for endpoint in self.balancer.endpoints:
            if endpoint.address[0] == str(host):
                self.balancer.set_ready(endpoint, ready)

    @rule(seconds=st.floats(0.0, 100.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(avoid=st.integers(0, 2))
    def pick(self, avoid: int) -> None:
        avoided = tuple(self.balancer.endpoints[:avoid])
        probes = {e for e in self.balancer.endpoints if e.ejected and e.ready and e.breaker.probe_at_s <= self.now}
        endpoint = self.balancer.pick(self.now, self.rng.random, avoided)
        if endpoint is None:
            assert set(self.balancer.ready) <= set(avoided)
            return
        assert endpoint not in avoided
        assert endpoint in self.balancer.ready or endpoint in probes
        endpoint.begin(self.now)
        self.requests.append((endpoint, self.now, False))

    @precondition(lambda self: self.requests)
    @rule(index=st.integers(0, 1000))
    def sample(self, index: int) -> None:
        endpoint, begun, sampled = self.requests[index % len(self.requests)]
        if not sampled:
            endpoint.sample(self.now - begun, self.now)
            self.requests[index % len(self.requests)] = (endpoint, begun, True)

    @precondition(lambda self: self.requests)
    @rule(index=st.integers(0, 1000), outcome=st.sampled_from(OUTCOMES))
    def end(self, index: int, outcome: int) -> None:
        endpoint, begun, sampled = self.requests.pop(index % len(self.requests))
        endpoint.end(outcome, self.now - begun, sampled, self.now)

    @rule(host=hosts)
    def break_down(self, host: int) -> None:
        for endpoint in self.balancer.endpoints:
            if endpoint.address[0] == str(host):
                for _ in range(7):
                    endpoint.begin(self.now)
                    endpoint.end(FAULT, 0.0, False, self.now)

    @invariant()
    def ready_are_those_that_may_be_drawn(self) -> None:
        drawable = [endpoint for endpoint in self.balancer.endpoints if endpoint.ready and not endpoint.ejected]
        assert self.balancer.ready == drawable
        assert bool(drawable) == any(endpoint.ready for endpoint in self.balancer.endpoints)

    @invariant()
    def at_most_half_are_ejected(self) -> None:
        ejected = sum(endpoint.ejected for endpoint in self.balancer.endpoints)
        assert ejected <= len(self.balancer.endpoints) // 2

    @invariant()
    def pending_counts_the_open_requests(self) -> None:
        for endpoint in self.balancer.endpoints:
            assert endpoint.pending == sum(owner is endpoint for owner, _, _ in self.requests)

    @invariant()
    def silence_needs_an_unanswered_request(self) -> None:
        for endpoint in self.balancer.endpoints:
            unanswered = sum(owner is endpoint and not sampled for owner, _, sampled in self.requests)
            assert endpoint.unanswered == unanswered
            assert unanswered or endpoint.silent_since_s == float("inf")
            assert endpoint.silent_since_s == float("inf") or endpoint.silent_since_s <= endpoint.asked_at_s <= self.now

    @invariant()
    def reading_does_not_write(self) -> None:
        for endpoint in self.balancer.endpoints:
            assert endpoint.load(self.now) == endpoint.load(self.now) >= 0.0


Conversation.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBalancer = Conversation.TestCase
