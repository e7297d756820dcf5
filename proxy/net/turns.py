"""Work on many connections, a little in each turn of the event loop: whoever is served waits for no more than that.

Shares are of time, since what is done for one of them may take a microsecond or a third of a millisecond, as a connect.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from time import monotonic
from typing import TypeVar

from proxy.net.log import log_bug
from proxy.relay.pending import Pending

T = TypeVar("T")
# A turn may have several: of those who arrive, whose time is up, who send, who go, and of a sweep.
SHARE_S = 0.00025
# Nor so many, where most of the work comes later: a transport that is told to close closes its socket in the next turn.
_BATCH = 16


async def tell_due(due: Iterable[Pending], flush: Callable[[], object], now: float) -> None:
    """Tell those whose time is up, and their peers, one after the other."""
    async for one in in_turns(due):
        one.deadline_passed(now)
        flush()


async def in_turns(many: Iterable[T]) -> AsyncIterator[T]:
    """Each of them; meanwhile others may come and go, so give a list, or what bears that."""
    until_s = monotonic() + SHARE_S
    for one in many:
        yield one
        if monotonic() >= until_s:
            await asyncio.sleep(0)
            until_s = monotonic() + SHARE_S


class Turns:
    """What may wait for others: calls that are made in their order, a share of each turn of the loop. One per loop."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: deque[Callable[[], object]] = deque()

    def add(self, call: Callable[[], object]) -> None:
        self._calls.append(call)
        if len(self._calls) == 1:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        until_s = monotonic() + SHARE_S
        for _ in range(_BATCH):
            try:
                self._calls[0]()
            except Exception as bug:  # One connection's bug must not take the others along.
                log_bug("a connection was ended by a bug in the proxy", bug)
            self._calls.popleft()  # not before, so that who adds knows that somebody goes on
            if not self._calls:
                return
            if monotonic() >= until_s:
                break
        asyncio.get_running_loop().call_soon(self._go_on)
