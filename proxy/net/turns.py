"""Work on many connections, a little in each turn of the event loop: whoever is served waits for no more than that.

Shares are of time, since what is done for one of them may take a microsecond or a third of a millisecond, as a connect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")
# A turn may have several: of those who arrive, whose time is up, who send, who go, and of a sweep.
SHARE_S = 0.00025


async def in_turns(many: Iterable[T]) -> AsyncIterator[T]:
    """Each of them; meanwhile others may come and go, so give a list, or what bears that."""
    until_s = monotonic() + SHARE_S
    for one in many:
        yield one
        if monotonic() >= until_s:
            await asyncio.sleep(0)
            until_s = monotonic() + SHARE_S
