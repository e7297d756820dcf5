"""The end of all directions, driven: what is asked for (a drain, SIGTERM, /shutdown) becomes each direction's course.

- `leave`, from a preStop hook, while the endpoint's removal spreads: those that serve others go on for `drain_delay_s`,
  then tell their clients to go. The local application's own requests are not touched.
- `stop`, by SIGTERM: with `shutdown_grace_s` 0 the application has exited before, as with a native sidecar, and all
  drain at once. Where SIGTERM comes to all containers together, the proxy serves on for up to that long: the
  application's outbound side until it has had no connection for a while and no request for it is left.
- `shut_down`: the application says itself that it has ended; nothing lingers.
- `stop` again: whoever insists does not wait at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from proxy.life.course import DRAINING, ENDED, SERVING, Course
from proxy.life.settings import Life

_TICK_S = 0.05
# How long an application that has not ended may go without a connection, before it is taken to have.
QUIET_S = 5.0
# A signal so soon after the first is the same one: a process group gets it from a terminal, and from who passes it on.
INSIST_S = 0.5


@dataclass
class Door:
    """One listener, as its end sees it. `drain` tells its clients, and waits for them to go; False if time ran out.

    `leave` is called when the end has begun, and nobody is told yet.
    """

    name: str
    serves_others: bool
    count: Callable[[], int]
    drain: Callable[[float], Awaitable[bool]]
    leave: Callable[[], None] | None = None
    course: Course = field(default_factory=Course)
    told: asyncio.Event = field(default_factory=asyncio.Event)


class Drain:
    """`timeout_s` is asked for when it counts, as a reload may change it; `log` hears of each step."""

    def __init__(
        self, doors: Sequence[Door], life: Life, timeout_s: Callable[[], float], log: Callable[[str], None]
    ) -> None:
        self.doors = doors
        self.life = life
        self.timeout_s = timeout_s
        self.log = log
        self._news = asyncio.Event()
        self._stopped = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._signalled_s: float | None = None

    @property
    def begun(self) -> bool:
        """Whether this pod wants no more requests."""
        return any(door.course.phase != SERVING for door in self.doors)

    # ---- what may be asked for

    async def leave(self) -> str:
        """Return when the clients of those that serve others have been told."""
        doors = [door for door in self.doors if door.serves_others]
        if not doors:
            return "nothing to drain: no direction of this proxy serves others"
        self._begin(doors, lambda door: door.course.begin(monotonic(), self.life.drain_delay_s))
        for door in doors:
            await door.told.wait()
        return f"drained: {', '.join(door.name for door in doors)}"

    def stop(self) -> None:
        life, now = self.life, monotonic()
        if self._signalled_s is not None:
            if now - self._signalled_s >= INSIST_S:
                self._cut()
            return
        self._signalled_s = now

        def begin(door: Door) -> None:
            if door.serves_others:
                door.course.begin(now, min(life.drain_delay_s, life.shutdown_grace_s))
            else:
                door.course.begin(now, life.shutdown_grace_s, QUIET_S)

        self._begin(self.doors, begin)
        self._stopped.set()

    def shut_down(self) -> None:
        self._begin(self.doors, lambda door: door.course.begin(monotonic(), 0.0))
        self._stopped.set()

    def _cut(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _begin(self, doors: Sequence[Door], begin: Callable[[Door], None]) -> None:
        for door in doors:
            begin(door)
            if door.leave is not None:
                door.leave()
        self._news.set()

    # ---- the course

    async def run(self) -> bool:
        """Until all have ended, and it was asked for; False where it was cut short."""
        self._task = asyncio.create_task(self._end_all())
        await asyncio.wait([self._task])
        if self._task.cancelled():
            return False
        self._task.result()
        return True

    async def _end_all(self) -> None:
        await self._news.wait()
        async with asyncio.TaskGroup() as group:
            for door in self.doors:
                group.create_task(self._end(door))
        await self._stopped.wait()

    async def _end(self, door: Door) -> None:
        while door.course.advance(monotonic(), self._is_busy(door)) < DRAINING:  # noqa: ASYNC110 - time is what counts
            await asyncio.sleep(_TICK_S)
        self.log(f"draining {door.name}: {door.count()} connections")
        door.told.set()
        ended = await door.drain(self.timeout_s() if self.life.drain_timeout_s is None else self.life.drain_timeout_s)
        if not ended:
            self.log(f"draining {door.name}: the time is up, what was open was ended")
        door.course.end()

    def _is_busy(self, door: Door) -> bool:
        """Requests of others may still make the application send some."""
        return door.count() > 0 or any(other.serves_others and other.course.phase != ENDED for other in self.doors)
