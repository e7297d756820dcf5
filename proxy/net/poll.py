"""Readiness of raw sockets: a callback when one can be read or written, level-triggered, whatever the event loop.

An epoll of our own, which the loop watches as one file descriptor. The `add_reader` of uvloop would not do: libuv stops
to watch a socket once it has an error, and what was received before a reset is then never read. It is also less memory
for each idle connection, and a callback that fails cannot be called again and again.

Who has moved much of late comes second, since a short word would wait behind all bulk else (the sparse flows of
fq_codel, RFC 8290, 4.2); and connections that go third: thousands may go at once. Callbacks say how many bytes they
have moved: the time that they take is as much the machine's affair as theirs.

Invariant: who has removed a callback is not called any more, and nobody gets an event of a socket that was closed and
whose number is his now.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from proxy.net.log import log_bug
from proxy.net.turns import SHARE_S

# One wake-up calls no more than so many of each kind, as long as there is time, then the loop looks at its other work:
# requests wait behind bulk else. It fetches more, to tell who goes.
_BATCH = 16
_FETCHED = 1_024
# The other side has ended, or has been reset. Without RDHUP who has ended would look like one who has sent something.
_RDHUP = getattr(select, "EPOLLRDHUP", 0)
_READS = getattr(select, "EPOLLIN", 0) | _RDHUP
_WRITES = getattr(select, "EPOLLOUT", 0)
# So many bytes are much; each time this has passed, half of what was moved is forgotten, or all where it is so little.
_MUCH_BYTES, _LATELY_S, _LITTLE_BYTES = 32 * 1024, 0.1, 1024
# Whose end is known waits without being told of again, which would take the place of others.
_SILENT = getattr(select, "EPOLLET", 0)
_ENDS = getattr(select, "EPOLLERR", 0) | getattr(select, "EPOLLHUP", 0) | _RDHUP


class Watcher(Protocol):
    """What an event loop offers as well."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> object: ...
    def remove_reader(self, fd: int) -> object: ...
    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> object: ...
    def remove_writer(self, fd: int) -> object: ...


def make_watcher(loop: asyncio.AbstractEventLoop) -> Watcher:
    """A poller, or the loop itself where there is no epoll (macOS)."""
    return Poller(loop) if hasattr(select, "epoll") else loop


class Poller:
    """One per loop."""

    __slots__ = (
        "_bulky",
        "_ended",
        "_epoll",
        "_is_due",
        "_loop",
        "_moved",
        "_readers",
        "_taken",
        "_until_s",
        "_writers",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._loop = loop
        self._readers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self._writers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        # Events that were fetched, by descriptor, in the order in which they came.
        self._moved: dict[int, Any] = {}
        self._bulky: dict[int, Any] = {}
        self._ended: dict[int, Any] = {}
        # How many bytes each has moved lately, by descriptor, also while it is not watched, as bulk is now and then;
        # half of it is forgotten at `_until_s`.
        self._taken: dict[int, Any] = {}
        self._until_s = 0.0
        # Whether the next turn serves what this one has left: who was fetched is not told of again by the kernel.
        self._is_due = False
        loop.add_reader(self._epoll.fileno(), self._wake)

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        had = fd in self._readers
        self._readers[fd] = (callback, args)
        if not had:
            self._grow(fd, fd in self._writers)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        had = fd in self._writers
        self._writers[fd] = (callback, args)
        if not had:
            self._grow(fd, fd in self._readers)

    def remove_reader(self, fd: int) -> None:
        if self._readers.pop(fd, None) is not None:
            self._shrink(fd, _WRITES if fd in self._writers else 0)

    def remove_writer(self, fd: int) -> None:
        if self._writers.pop(fd, None) is not None:
            self._shrink(fd, _READS if fd in self._readers else 0)

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _list_events(self, fd: int) -> int:
        return (_READS if fd in self._readers else 0) | (_WRITES if fd in self._writers else 0)

    def _grow(self, fd: int, is_known: bool) -> None:
        if is_known:
            self._epoll.modify(fd, _READS | _WRITES)
        else:
            self._epoll.register(fd, self._list_events(fd))

    def _shrink(self, fd: int, events: int) -> None:
        if events:
            self._epoll.modify(fd, events)
        else:
            self._epoll.unregister(fd)
            for fetched in (self._moved, self._bulky, self._ended):
                fetched.pop(fd, None)

    def _wake(self) -> None:
        if not self._is_due:
            self._dispatch()

    def _dispatch(self) -> None:
        self._is_due = False
        if self._epoll.closed:
            return
        for fd, events in self._epoll.poll(0, _FETCHED):
            if fd in self._moved or fd in self._bulky or fd in self._ended:
                continue
            if events & _ENDS:
                self._ended[fd] = events
                self._epoll.modify(fd, _SILENT)
            elif self._taken.get(fd, 0) < _MUCH_BYTES:
                self._moved[fd] = events
            else:
                self._bulky[fd] = events
        now = monotonic()
        if now >= self._until_s:
            self._until_s = now + _LATELY_S
            self._taken = {fd: taken // 2 for fd, taken in self._taken.items() if taken > _LITTLE_BYTES}
        now = self._serve(self._moved, now)
        now = self._serve(self._bulky, now)
        self._serve(self._ended, now)
        if self._moved or self._bulky or self._ended:
            self._is_due = True
            self._loop.call_soon(self._dispatch)

    def _serve(self, fetched: dict[int, Any], now: float) -> float:
        """The oldest ones; the time then. Who is called may remove the others."""
        if not fetched:
            return now
        until_s = now + SHARE_S
        for _ in range(_BATCH):
            fd = next(iter(fetched))
            events = fetched.pop(fd)
            # An error or the end is for whoever is there; a read or a write then tells which it is.
            taken = 0
            if events & ~_WRITES:
                taken += self._call(self._readers, fd)
            if events & ~_READS:
                taken += self._call(self._writers, fd)
            if taken:
                # Bounded, so that it is soon forgotten: the next connection may have this number.
                self._taken[fd] = min(self._taken.get(fd, 0) + taken, 2 * _MUCH_BYTES)
            if events & _ENDS and (fd in self._readers or fd in self._writers):
                self._epoll.modify(fd, self._list_events(fd))
            now = monotonic()
            if not fetched or now >= until_s:
                break
        return now

    def _call(self, callbacks: dict[int, tuple[Callable[..., object], tuple[Any, ...]]], fd: int) -> int:
        """How many bytes it has moved, as it says."""
        found = callbacks.get(fd)
        if found is None:
            return 0
        callback, args = found
        try:
            taken = callback(*args)
            return taken if isinstance(taken, int) else 0
        except Exception as bug:  # Level-triggered, it would be called again at once, and for ever.
            log_bug("a connection was ended by a bug in the proxy", bug)
            self.remove_reader(fd)
            self.remove_writer(fd)
            return 0
