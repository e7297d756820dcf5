"""A request as those see it that let it wait: for an endpoint, for room on a connection, for its time to run out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from proxy.codec.client import Client

if TYPE_CHECKING:
    from proxy.relay.link import Link


class Pending(Protocol):
    """What an `Exchange` is to a cluster, a link and the clock. `now` is in seconds, of one monotonic clock."""

    def dispatch(self, now: float) -> None:
        """An endpoint may be ready, or there is another cluster for it."""

    def may_have(self, link: Link, conn: Client, now: float) -> bool:
        """Whether one more stream there is not more than its client's share."""

    def is_stalled(self, now: float) -> bool:
        """Whether its client has left it unfinished."""

    def give_way(self, now: float) -> None:
        """Another may have its stream."""

    def send(self, conn: Client, now: float) -> None:
        """There is room on this connection."""

    def redispatch(self, now: float) -> None:
        """The endpoint it waited for is gone."""

    def deadline_passed(self, now: float) -> None:
        """The time it gave is over."""
