"""What is known of a destination before its client has said a word, and for how long it is worth waiting for that word.

Some protocols let the server speak first, so silence must end somewhere. It ends at once where the port is known for
such a protocol or the control plane says so, soon where that server has been seen to speak first, else after a timeout.

Invariants: a hint is learned from a server that spoke first alone, and does nothing but shorten the wait: what comes
later is still detected. A port that carries HTTP policy never becomes opaque by silence (DESIGN 3.5).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from proxy.codec.detect import HTTP2, MORE, OPAQUE

DETECT_TIMEOUT_S = 10.0
HINTED_TIMEOUT_S = 0.1
HINT_TTL_S = 600.0
MAX_HINTS = 1_000

# SMTP and submission, MySQL, Galera, PostgreSQL, Redis, Elasticsearch's transport, Memcached.
OPAQUE_PORTS = frozenset((25, 587, 3306, 4444, 5432, 6379, 9300, 11211))

Address = tuple[str, int]


class Expectation(NamedTuple):
    """What a destination speaks: MORE is not known; `is_http` forbids that silence or half a word makes it opaque.

    `reason` says for a metric who knows: known (configuration) or port.
    """

    kind: int = MORE
    is_http: bool = False
    reason: str = "known"


UNKNOWN = Expectation()
_OPAQUE = Expectation(OPAQUE)
_OPAQUE_PORT = Expectation(OPAQUE, reason="port")


def expect_port(port: int, opaque_ports: frozenset[int] = OPAQUE_PORTS) -> Expectation:
    """What a port alone lets expect."""
    return _OPAQUE_PORT if port in opaque_ports else UNKNOWN


def expect_app_protocol(name: str, port: int) -> Expectation:
    """What a Service's `appProtocol` says (KEP-3726, and the names that Linkerd and Istio know); else the port does."""
    name = name.lower()
    if name in ("kubernetes.io/h2c", "grpc", "http2"):
        return Expectation(HTTP2, True)
    if name in ("http", "kubernetes.io/ws"):
        # Not HTTP1: many a gRPC service calls its port `http`.
        return Expectation(MORE, True)
    if name in ("tcp", "linkerd.io/opaque", "linkerd.io/tcp", "mysql", "mongo", "redis", "smtp", "postgres"):
        return _OPAQUE
    return expect_port(port)


class Hints:
    """Destinations whose server was seen to speak first, by original address: the latest `size` of them."""

    __slots__ = ("_until_s", "size", "ttl_s")

    def __init__(self, size: int = MAX_HINTS, ttl_s: float = HINT_TTL_S) -> None:
        self.size = size
        self.ttl_s = ttl_s
        self._until_s: OrderedDict[Address, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until_s)

    def learn(self, address: Address, now: float) -> None:
        """The server at `address` spoke before its client did."""
        self._until_s[address] = now + self.ttl_s
        self._until_s.move_to_end(address)
        if len(self._until_s) > self.size:
            self._until_s.popitem(last=False)

    def knows(self, address: Address, now: float) -> bool:
        until_s = self._until_s.get(address)
        if until_s is None:
            return False
        if now >= until_s:
            del self._until_s[address]
            return False
        self._until_s.move_to_end(address)
        return True

    def forget(self, address: Address) -> None:
        """A client was heard first after all."""
        self._until_s.pop(address, None)
