"""The bytes that clients have not taken from us yet: bounded for all together, and for one address.

gRPC keeps a response until the client reads it or its connection ends, and a server cannot take it back. So whoever has
much that is unread gets no more, and an address with next to nothing unread is never kept waiting by the others.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque

BYTES_MAX = 128 << 20
PEER_PARTS = 4
ALWAYS_BYTES = 1 << 20


class Unsent:
    """After `wait` comes `add`, and when it has been written, or never will be, `remove`."""

    def __init__(self, bytes_max: int = BYTES_MAX, always_bytes: int = ALWAYS_BYTES) -> None:
        self._bytes_max = bytes_max
        self._always_bytes = always_bytes
        self.in_all = 0
        self._by_address: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def has_room(self, address: str) -> bool:
        mine = self._by_address[address]
        if mine < self._always_bytes:
            return True
        return mine < self._bytes_max // PEER_PARTS and self.in_all < self._bytes_max

    async def wait(self, address: str) -> None:
        """Until this address may be sent more."""
        while not self.has_room(address):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(address, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():
                    self._wake(address)  # somebody else's turn, then
                raise

    def add(self, address: str, size: int) -> None:
        self.in_all += size
        self._by_address[address] += size

    def remove(self, address: str, size: int) -> None:
        self.in_all -= size
        self._by_address[address] -= size
        if not self._by_address[address]:
            del self._by_address[address]
        for waiting in tuple(self._waiting):
            self._wake(waiting)

    def _wake(self, address: str) -> None:
        """The next of this address; each wakes the one after it when it has written."""
        turns = self._waiting.get(address)
        if turns is None or not self.has_room(address):
            return
        while turns:
            turn = turns.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        if not turns:
            del self._waiting[address]
