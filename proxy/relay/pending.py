"""A request as those see it that let it wait: for an endpoint, for room on a connection, for its time to run out."""

from __future__ import annotations

from typing import Protocol

from proxy.codec.client import Client


class Pending(Protocol):
    """What an `Exchange` is to a cluster, a link and the clock. `now` is in seconds, of one monotonic clock."""

    def dispatch(self, now: float) -> None:
        """An endpoint may be ready, or there is another cluster for it."""

    def send(self, conn: Client, now: float) -> None:
        """There is room on this connection."""

    def redispatch(self, now: float) -> None:
        """The endpoint it waited for is gone."""

    def deadline_passed(self, now: float) -> None:
        """The time it gave is over."""
