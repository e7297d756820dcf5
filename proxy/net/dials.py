"""Whose turn it is to dial: some at a time, so that those who answer at once, all together, do not hold up the traffic.

Who has not answered after a moment costs nothing but memory, and leaves its place to others. What waits is served in
turns, by endpoint (fair queueing, RFC 970): an endpoint that drops all SYNs makes only its own requests wait.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

# So many dials may be answered at the same time.
MAX_DIALS = 64
# An endpoint that has not answered for so long is slow, or not there. Of these there are so many; and of one so many,
# or this part of the places that are left, so that hundreds of such endpoints leave some to others (dynamic thresholds,
# Choudhury and Hahne, 1998).
SLOW_S = 0.02
MAX_SLOW = 960
MAX_SLOW_OF_ONE = 64
_PART = 1 / 8


class Wanted(Hashable, Protocol):
    """A link: `removed` where nobody wants its endpoint any more."""

    removed: bool


T = TypeVar("T", bound=Wanted)


class Dials(Generic[T]):
    """What is being dialled. `dropped` gets a link, once for each dial that was not begun, since nobody wants it."""

    def __init__(self, connect: Callable[[T], Coroutine[Any, Any, None]], dropped: Callable[[T], None]) -> None:
        self.connect = connect
        self.dropped = dropped
        self.loop = asyncio.get_running_loop()
        self.tasks: dict[asyncio.Task[None], T] = {}
        # Those that may be answered any moment, and since when.
        self.young: OrderedDict[asyncio.Task[None], float] = OrderedDict()
        self.under_way: dict[T, int] = {}
        # How many dials each link waits for: those whose turn comes, and those that have too many under way.
        self.queue: OrderedDict[T, int] = OrderedDict()
        self.held: dict[T, int] = {}
        self.timer: asyncio.TimerHandle | None = None

    def begin(self, link: T) -> None:
        """Dial it when its turn comes."""
        if link.removed:
            self.dropped(link)
            return
        self._wait(link, 1)
        self._go_on()

    def forget(self, link: T) -> None:
        """What this link waits for is not wanted any more."""
        for _ in range(self.queue.pop(link, 0) + self.held.pop(link, 0)):
            self.dropped(link)

    def _wait(self, link: T, count: int) -> None:
        most = max(1, min(MAX_SLOW_OF_ONE, int((MAX_SLOW - len(self.tasks)) * _PART)))
        waiting = self.held if self.under_way.get(link, 0) >= most else self.queue
        waiting[link] = waiting.get(link, 0) + count

    def _go_on(self) -> None:
        while self.queue and self._has_place():
            link = next(iter(self.queue))
            if link.removed:
                self.forget(link)
                continue
            count = self.queue.pop(link)
            self._start(link)
            if count > 1:
                self._wait(link, count - 1)

    def _has_place(self) -> bool:
        """If not, whoever gives one back goes on."""
        if len(self.young) < MAX_DIALS:
            return True
        now = monotonic()
        while self.young and len(self.tasks) - len(self.young) < MAX_SLOW:
            wait_s = next(iter(self.young.values())) + SLOW_S - now
            if wait_s > 0.0:
                if len(self.young) >= MAX_DIALS and self.timer is None:
                    self.timer = self.loop.call_later(wait_s, self._look_again)
                break
            self.young.popitem(last=False)
        return len(self.young) < MAX_DIALS

    def _look_again(self) -> None:
        self.timer = None
        self._go_on()

    def _start(self, link: T) -> None:
        task = self.loop.create_task(self.connect(link))
        self.tasks[task] = link
        self.young[task] = monotonic()
        self.under_way[link] = self.under_way.get(link, 0) + 1
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        link = self.tasks.pop(task)
        self.young.pop(task, None)
        left = self.under_way[link] - 1
        if left:
            self.under_way[link] = left
        else:
            del self.under_way[link]
        if link in self.held:
            self.queue[link] = self.queue.get(link, 0) + self.held.pop(link)
        self._go_on()

    def close(self) -> None:
        """End everything at once."""
        self.queue.clear()
        self.held.clear()
        if self.timer is not None:
            self.timer.cancel()
        for task in self.tasks:
            task.cancel()
