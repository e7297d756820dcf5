"""Requests that wait for a connection to an endpoint, by how much of them has come.

Each of the three queues is in the order of its requests' arrival, so that whoever is next is found without a look at
the others: a thousand may wait, and every connection that is free or gone asks.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import chain
from typing import Any


class Queue:
    """Of `exchange`s, `size` of them; who has more of its request than when it was put here has to be put anew."""

    __slots__ = ("_bare", "_begun", "_whole", "size")

    def __init__(self) -> None:
        self._whole: OrderedDict[Any, None] = OrderedDict()
        self._begun: OrderedDict[Any, None] = OrderedDict()
        self._bare: OrderedDict[Any, None] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def __contains__(self, exchange: object) -> bool:
        return exchange in self._whole or exchange in self._begun or exchange in self._bare

    def put(self, exchange: Any) -> None:
        self.discard(exchange)
        queue = self._whole if exchange.request_end else self._begun if exchange.body_bytes else self._bare
        queue[exchange] = None
        self.size += 1

    def discard(self, exchange: Any) -> None:
        for queue in (self._whole, self._begun, self._bare):
            if exchange in queue:
                del queue[exchange]
                self.size -= 1

    def pop(self) -> Any:
        """Anybody; there has to be one."""
        exchange = next(chain(self._whole, self._begun, self._bare))
        self.discard(exchange)
        return exchange

    def find_next(self, is_fresh: bool) -> Any:
        """Who has waited longest: of those that are complete, else of those that come in, else of the others.

        What was lost on a connection that had been idle is not given to another such one. None where there is nobody.
        """
        for exchange in chain(self._whole, self._begun, self._bare):
            if is_fresh or not exchange.needs_fresh:
                return exchange
        return None

    def find_unfinished(self, is_whole: bool) -> Any:
        """Who gives its place to another request, of which all has come or not; None where nobody has to."""
        return next(chain(self._bare, self._begun) if is_whole else iter(self._bare), None)
