"""What is known of a destination before its client has said a word, and for how long it is worth waiting for that word.

Some protocols let the server speak first, so silence must end somewhere. It ends at once where the port is known for
such a protocol or the control plane says so, soon where that server has been seen to speak first, else after a timeout.

Invariants: a hint is learned from a server that spoke first alone, and does nothing but shorten the wait: what comes
later is still detected. A port that carries HTTP policy never becomes opaque by silence (DESIGN 3.5).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Container
from typing import NamedTuple

from proxy.codec.detect import MORE, OPAQUE

DETECT_TIMEOUT_S = 10.0
HINTED_TIMEOUT_S = 0.1
HINT_TTL_S = 600.0
MAX_HINTS = 1_000

# SMTP and submission, MySQL, Galera, PostgreSQL, Redis, Elasticsearch's transport, Memcached.
OPAQUE_PORTS = frozenset((25, 587, 3306, 4444, 5432, 6379, 9300, 11211))

Address = tuple[str, int]


class Expectation(NamedTuple):
    """What a destination speaks: MORE is not known; `is_http` forbids that silence or half a word makes it opaque.

    `reason` says for a metric who knows: known (configuration) or port. `passes_proxies`: what is said to an HTTP proxy
    goes on as it is, to a destination of which the mesh knows nothing.
    """

    kind: int = MORE
    is_http: bool = False
    reason: str = "known"
    passes_proxies: bool = False


UNKNOWN = Expectation()
_OPAQUE_PORT = Expectation(OPAQUE, reason="port")


def expect_port(port: int, opaque_ports: Container[int] = OPAQUE_PORTS) -> Expectation:
    """What a port alone lets expect."""
    return _OPAQUE_PORT if port in opaque_ports else UNKNOWN


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
