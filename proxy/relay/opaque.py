"""Where a raw TCP connection goes: to an endpoint that the balancer picks, or to the one address that it was meant for.

The same power of two choices as for requests, where a "request" is the connect: its time is the latency sample, its
failure the fault; `pending` counts open connections. What is said on the connection says nothing about the endpoint.

Contract of a way: `next` gives an address to try; each is answered by exactly one of `connected`, `failed` or
`abandoned`; after `connected`, `ended` is called once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from proxy.balance.endpoint import Endpoint
from proxy.balance.outcome import CANCELLED, FAULT, SUCCESS
from proxy.balance.p2c import Balancer
from proxy.codec.tls_hello import Hello
from proxy.route import model

Address = tuple[str, int]

# After a failed connect, at most two other endpoints are tried.
MAX_ATTEMPTS = 3
# Connects that take less are equal. Inside a cluster they differ by our own load rather than the endpoint's, and what a
# request forgives, a connection does not: it stays for hours.
_NOISE_S = 0.010


# So long a client waits for an endpoint, or for us to have a file descriptor again.
_FAILFAST_S = 3.0


class OpaqueCluster:
    """The endpoints of one destination, for connections; `link` of an endpoint is what the control plane said of it."""

    __slots__ = ("balancer", "connect_timeout_s", "failfast_s", "name")

    def __init__(self, name: str, connect_timeout_s: float = 1.0, failfast_s: float = _FAILFAST_S) -> None:
        self.name = name
        self.connect_timeout_s = connect_timeout_s
        self.failfast_s = failfast_s
        self.balancer = Balancer()

    def replace(self, targets: Iterable[model.Endpoint]) -> None:
        """These, whose hosts are IP addresses, from now on; those that stay keep what was learned of them."""
        wanted = {(target.host, target.port): target for target in targets}
        self.balancer.replace([Endpoint(address, target.weight) for address, target in wanted.items()])
        for endpoint in self.balancer.endpoints:
            endpoint.link = wanted[endpoint.address]
            self.balancer.set_ready(endpoint, True)


class Way(Protocol):
    """One connection's way to its peer; `endpoint` is None where none was picked, or none is known.

    `hello` is what its client said, where it speaks TLS: it leads nowhere, and tells whoever counts.
    """

    connect_timeout_s: float
    failfast_s: float
    endpoint: Endpoint | None
    hello: Hello | None

    @property
    def service(self) -> str:
        """Whose endpoints these are; '' where it leads to one address that nobody knows."""

    @property
    def target(self) -> Address | None:
        """Where it leads now."""

    def next(self, now: float, rng: Callable[[], float]) -> Address | None: ...
    def may_retry(self) -> bool: ...
    def connected(self, now: float) -> None: ...
    def failed(self, now: float) -> None: ...
    def abandoned(self, now: float) -> None: ...
    def ended(self) -> None: ...


class BalancedWay:
    """To one of a cluster's endpoints."""

    __slots__ = ("begun_s", "cluster", "connect_timeout_s", "endpoint", "failfast_s", "hello", "tried")

    def __init__(self, cluster: OpaqueCluster) -> None:
        self.cluster = cluster
        self.connect_timeout_s = cluster.connect_timeout_s
        self.failfast_s = cluster.failfast_s
        self.endpoint: Endpoint | None = None
        self.hello: Hello | None = None
        self.tried: tuple[Endpoint, ...] = ()
        self.begun_s = 0.0

    @property
    def service(self) -> str:
        return self.cluster.name

    @property
    def target(self) -> Address | None:
        return None if self.endpoint is None else self.endpoint.address

    def next(self, now: float, rng: Callable[[], float]) -> Address | None:
        """Where to connect now; None where there is no endpoint that was not tried."""
        endpoint = self.endpoint = self.cluster.balancer.pick(now, rng, self.tried)
        if endpoint is None:
            return None
        self.tried += (endpoint,)
        self.begun_s = now
        endpoint.begin(now)
        return endpoint.address

    def may_retry(self) -> bool:
        return len(self.tried) < MAX_ATTEMPTS

    def connected(self, now: float) -> None:
        endpoint = self.endpoint
        assert endpoint is not None
        elapsed_s = now - self.begun_s
        endpoint.sample(max(elapsed_s, _NOISE_S), now)
        endpoint.end(SUCCESS, elapsed_s, True, now)
        endpoint.pending += 1  # the connect is over, the connection is not

    def failed(self, now: float) -> None:
        self._end(FAULT, now)

    def abandoned(self, now: float) -> None:
        """The connect was broken off, for no fault of the endpoint: it may be tried again."""
        self._end(CANCELLED, now)
        self.tried = self.tried[: len(self.tried) - 1]

    def _end(self, outcome: int, now: float) -> None:
        assert self.endpoint is not None
        self.endpoint.end(outcome, now - self.begun_s, False, now)

    def ended(self) -> None:
        assert self.endpoint is not None
        self.endpoint.pending -= 1


class DirectWay:
    """To the address that the connection was meant for, since nobody knows it, or it is one pod's."""

    __slots__ = ("address", "connect_timeout_s", "endpoint", "failfast_s", "hello", "tried")

    def __init__(self, address: Address, connect_timeout_s: float = 10.0) -> None:
        self.address = address
        self.connect_timeout_s = connect_timeout_s
        self.failfast_s = _FAILFAST_S
        self.endpoint: Endpoint | None = None
        self.hello: Hello | None = None
        self.tried = False

    @property
    def service(self) -> str:
        return ""

    @property
    def target(self) -> Address | None:
        return self.address

    def next(self, now: float, rng: Callable[[], float]) -> Address | None:
        if self.tried:
            return None
        self.tried = True
        return self.address

    def may_retry(self) -> bool:
        return False

    def connected(self, now: float) -> None:
        """Nobody balances here, so nobody learns."""

    def failed(self, now: float) -> None:
        """See `connected`."""

    def abandoned(self, now: float) -> None:
        self.tried = False

    def ended(self) -> None:
        """See `connected`."""
