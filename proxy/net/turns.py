"""Work on all connections, a few in each turn of the event loop: whoever is served waits for no more than these."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")
# Half a millisecond of the work that is done for each.
_BATCH = 64


async def in_turns(many: Iterable[T]) -> AsyncIterator[T]:
    """Each of them; meanwhile others may come and go, so give a list, or what bears that."""
    for number, one in enumerate(many, 1):
        yield one
        if number % _BATCH == 0:
            await asyncio.sleep(0)
