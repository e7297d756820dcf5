"""A destination: the balancer over its endpoints, and the requests that wait until one of them is ready.

Invariant: a request waits only while no endpoint is ready, and only until none has been for `failfast_s`; then it and
all that follow fail at once until one is (Linkerd's fail-fast). What a name stands for that the control plane has not
told of yet is such a cluster too: one without endpoints, whose `failure` says so.
"""

from __future__ import annotations

from collections import OrderedDict

from proxy.balance.endpoint import Endpoint
from proxy.balance.p2c import Balancer
from proxy.relay.failure import NO_ENDPOINT, Failure
from proxy.relay.pending import Pending

MAX_WAITING = 1_000
# Long enough for a dial within the pod.
_LEAVING_FAILFAST_S = 0.2


class Cluster:
    """`deserted_since_s` is when the last ready endpoint went, or when the cluster began; -1 while one is ready.

    `leaving`: its endpoint is an application that is about to end, so what it does not take others may have.
    `asked_s` is when a request last found no endpoint ready.
    """

    __slots__ = (
        "asked_s",
        "balancer",
        "deserted_since_s",
        "failfast_s",
        "failure",
        "last_error",
        "leaving",
        "name",
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
        self.waiting: OrderedDict[Pending, None] = OrderedDict()

    def describe(self) -> str:
        return f"{self.name} ({self.last_error})" if self.last_error else self.name

    def leave(self) -> None:
        """From now on nobody waits long for an endpoint to come back."""
        self.leaving = True
        self.failfast_s = min(self.failfast_s, _LEAVING_FAILFAST_S)

    def fails_fast(self, now: float) -> bool:
        """Asked for a request that finds no endpoint ready, which is remembered."""
        self.asked_s = now
        return self.deserted_since_s >= 0 and now - self.deserted_since_s >= self.failfast_s

    def set_ready(self, endpoint: Endpoint, ready: bool, now: float) -> None:
        self.balancer.set_ready(endpoint, ready)
        self.refresh(now)

    def refresh(self, now: float) -> None:
        """After any change of readiness: send on what waits, or start the clock."""
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
