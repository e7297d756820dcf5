"""The workers of one sidecar end together: who is asked to drain, or to end, tells the others (`--workers`).

Each worker has an admin port of its own, but a hook or a job knows of one. They talk over datagram sockets, made before
the workers are: of each pair one end is a worker's own, and all others write to the other.
"""

from __future__ import annotations

import asyncio
import socket

from proxy.life.drain import Drain

_LEAVE, _SHUT_DOWN, _LEFT = range(3)
# All begin within a moment, so all are done within another; one that is gone says nothing.
_PATIENCE_S = 2.0
_MESSAGE_BYTES = 2


class Siblings:
    """What the workers inherit: made once, by their parent."""

    def __init__(self, count: int) -> None:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(count if count > 1 else 0)]
        self.ears = [pair[0] for pair in pairs]
        self.mouths = [pair[1] for pair in pairs]
        for sock in (*self.ears, *self.mouths):
            sock.setblocking(False)


class Worker:
    """One of them, for its admin port: `leave` and `shut_down` are those of its drain, of all at once."""

    def __init__(self, siblings: Siblings, index: int, drain: Drain) -> None:
        self.siblings = siblings
        self.index = index
        self.drain = drain
        self._awaited: set[int] = set()
        self._news = asyncio.Event()
        self._leaving: set[asyncio.Task[None]] = set()

    def listen(self) -> None:
        """From now on, hear of the others; the loop must run."""
        if self.siblings.ears:
            asyncio.get_running_loop().add_reader(self.siblings.ears[self.index], self._hear)

    async def leave(self) -> str:
        """Return when the clients of all have been told."""
        self._awaited = self._tell(_LEAVE)
        said = await self.drain.leave()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while self._awaited:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return f"{said}; some workers have not answered"
        return said

    def shut_down(self) -> None:
        self._tell(_SHUT_DOWN)
        self.drain.shut_down()

    def _tell(self, what: int, whom: int | None = None) -> set[int]:
        """Tell one, or all others; who was told."""
        told = set()
        for index in range(len(self.siblings.mouths)) if whom is None else (whom,):
            if index != self.index:
                try:
                    self.siblings.mouths[index].send(bytes((what, self.index)))
                except OSError:
                    continue  # its queue is full, so it has heard this many times
                told.add(index)
        return told

    def _hear(self) -> None:
        try:
            what, sender = self.siblings.ears[self.index].recv(_MESSAGE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if what == _SHUT_DOWN:
            self.drain.shut_down()
        elif what == _LEFT:
            self._awaited.discard(sender)
            self._news.set()
        else:
            task = asyncio.ensure_future(self._leave_with(sender))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _leave_with(self, sender: int) -> None:
        await self.drain.leave()
        self._tell(_LEFT, sender)
