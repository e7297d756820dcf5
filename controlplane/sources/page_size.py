"""How many objects to ask for at once, so that no page keeps the event loop for long.

Decoding a page blocks it, in a thread as well, since the JSON decoder keeps the interpreter to itself. Anybody may
write objects of a MiB; so pages aim at a number of bytes, and grow again behind the large ones. The API lets each
request of a list have a limit of its own.
"""

from __future__ import annotations

from controlplane.sources.course import Limits


class PageSize:
    """Of one list."""

    def __init__(self, limits: Limits) -> None:
        self.objects = limits.page_objects
        self._limits = limits

    def learn(self, size_bytes: int) -> None:
        """A page of `objects` had this size."""
        fitting = self.objects * self._limits.page_aim_bytes // max(1, size_bytes)
        self.objects = max(1, min(fitting, 2 * self.objects, self._limits.page_objects))

    def shrink(self) -> bool:
        """A page of `objects` was more than is taken; whether fewer can be asked for."""
        can = self.objects > 1
        self.objects = max(1, self.objects // 4)
        return can
