"""The bound on what waits for slow receivers, over all clients together, whatever they speak.

Each stream holds at most its window and each connection at most its streams (`codec/limits`), but many connections that
do not read could together hold more than the pod has. So now and then it is added up, and the clients that hold most
are ended until the rest is within the budget. Who reads holds next to nothing, and is never among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from proxy.net.turns import in_turns
from proxy.relay.relay import Tally

MAX_HELD_BYTES = 64 * 1024 * 1024
HOLDS_TOO_MUCH = "too much waits for it"


class Holder(Protocol):
    """Connections of one kind. `find_held` gives how many bytes wait for each of them, while they come and go;
    `end_held` ends one of them, and counts that."""

    def find_held(self) -> Iterable[tuple[int, Any]]: ...

    def end_held(self, one: Any, tally: Tally) -> None: ...


async def relieve(holders: Iterable[Holder], tally: Tally, max_held_bytes: int) -> None:
    """End those for whom most waits, until there is no more than the budget."""
    held = [(size, holder, one) for holder in holders async for size, one in in_turns(holder.find_held()) if size]
    total = sum(size for size, _, _ in held)
    if total <= max_held_bytes:
        return
    for size, holder, one in sorted(held, key=lambda entry: entry[0], reverse=True):
        if total <= max_held_bytes:
            return
        total -= size
        holder.end_held(one, tally)


def count_unwritten(transport: Any) -> int:
    """What has left us and the kernel has no room for."""
    return int(transport.get_write_buffer_size()) if transport is not None else 0
