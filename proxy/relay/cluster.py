"""A destination: the balancer over its endpoints, and the requests that wait until one of them is ready.

Invariant: a request waits only while no endpoint is ready, and only until none has been for `failfast_s`; then it and
all that follow fail at once until one is (Linkerd's fail-fast). What a name stands for that the control plane has not
told of yet is such a cluster too: one without endpoints, whose `failure` says so. Where every endpoint has shown that
it does not speak HTTP/2, nobody waits: time does not change that, as it does of one that starts anew.
"""

from __future__ import annotations

from collections import OrderedDict

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.relay.failure import NO_ENDPOINT, WRONG_PROTOCOL, Failure
from proxy.relay.pending import Pending

MAX_WAITING = 1_000
# Long enough for a dial within the pod.
_LEAVING_FAILFAST_S = 0.2
# One that ends a connection without a word may be about to end itself; so many in a row, and it means us.
_MIN_REFUSALS = 2


class Cluster:
    """`deserted_since_s` is when the last ready endpoint went, or when the cluster began; -1 while one is ready.

    `leaving`: its endpoint is an application that is about to end, so what it does not take others may have.
    `asked_s` is when a request last found no endpoint ready. `refusals` counts, for each endpoint whose last dials it
    answered in another way than HTTP/2 has it, how many those were; `is_refused` where that holds for all endpoints.
    """

    __slots__ = (
        "asked_s",
        "balancer",
        "deserted_since_s",
        "failfast_s",
        "failure",
        "is_refused",
        "last_error",
        "leaving",
        "name",
        "refusals",
        "waiting",
    )

    def __init__(
        self, name: str, balancer: Balancer, failfast_s: float, now: float, failure: Failure = NO_ENDPOINT
    ) -> None:
        self.name = name
        self.balancer = balancer
        self.failfast_s = failfast_s
        self.failure = failure
        # Why the latest dial of an endpoint failed, for whoever gets an error.
        self.last_error = ""
        self.leaving = False
        self.asked_s = 0.0
        self.deserted_since_s = now
        self.refusals: dict[Endpoint, int] = {}
        self.is_refused = False
        self.waiting: OrderedDict[Pending, None] = OrderedDict()

    def describe(self) -> str:
        return f"{self.name} ({self.last_error})" if self.last_error else self.name

    def blame(self) -> Failure:
        """Why a request fails that finds no endpoint ready."""
        return WRONG_PROTOCOL if self.is_refused else self.failure

    def leave(self) -> None:
        """From now on nobody waits long for an endpoint to come back."""
        self.leaving = True
        self.failfast_s = min(self.failfast_s, _LEAVING_FAILFAST_S)

    def fails_fast(self, now: float) -> bool:
        """Asked for a request that finds no endpoint ready, which is remembered."""
        self.asked_s = now
        return self.is_refused or (self.deserted_since_s >= 0 and now - self.deserted_since_s >= self.failfast_s)

    def give_up(self, now: float) -> None:
        """The network says that nobody is there, and nobody knows of somebody to come: nobody waits any longer."""
        if self.deserted_since_s >= 0:
            self.deserted_since_s = min(self.deserted_since_s, now - self.failfast_s)
            self.serve(now)

    def refuse(self, endpoint: Endpoint, is_sure: bool, now: float) -> None:
        """A dial got an answer that is no HTTP/2, or else an end without a word, which is not sure to mean that."""
        self.refusals[endpoint] = self.refusals.get(endpoint, 0) + (_MIN_REFUSALS if is_sure else 1)
        self._judge_refusals()
        if self.is_refused:
            self.serve(now)

    def forgive(self, endpoint: Endpoint) -> None:
        """A dial got no answer: what the next one gets is open."""
        if self.refusals.pop(endpoint, 0):
            self._judge_refusals()

    def _judge_refusals(self) -> None:
        """What an application says that is about to end is no sign of what it speaks."""
        endpoints = self.balancer.endpoints
        self.refusals = {one: self.refusals[one] for one in endpoints if one in self.refusals and not one.ready}
        enough = [one for one, count in self.refusals.items() if count >= _MIN_REFUSALS]
        self.is_refused = 0 < len(endpoints) == len(enough) and not self.leaving

    def set_ready(self, endpoint: Endpoint, ready: bool, now: float) -> None:
        self.balancer.set_ready(endpoint, ready)
        if ready and endpoint.breaker.streak:
            # What it lost with its last connection was counted when it was not ready, so that it could not be ejected.
            self.balancer.judge_return(endpoint, now)
        self.refresh(now)

    def refresh(self, now: float) -> None:
        """After any change of readiness: send on what waits, or start the clock."""
        if self.refusals:
            self._judge_refusals()
        if any(endpoint.ready for endpoint in self.balancer.endpoints):
            self.deserted_since_s = -1.0
            self.serve(now)
        elif self.deserted_since_s < 0:
            self.deserted_since_s = now

    def serve(self, now: float) -> None:
        """An endpoint is ready, or this cluster is no longer where those who wait should go."""
        for _waiting in range(len(self.waiting)):
            exchange, _ = self.waiting.popitem(last=False)
            exchange.dispatch(now)
