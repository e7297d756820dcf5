"""How much one client may ask for, and how it is told that it asked for more.

A hostile or broken client costs a bounded amount and ends with a clear status; the others do not notice. What all may
have together is shared: one address never gets more than a part, and small streams are served when large ones are not.
"""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.translate.resource import ENVOY


@dataclass(frozen=True, slots=True)
class Bounds:
    """A sidecar holds 1,000 listeners, each of which may lead to several clusters. Envoy names all there are."""

    streams: int = 5_000
    types_per_stream: int = 16
    names_per_type: int = 2_000
    names_per_type_envoy: int = 50_000
    names_in_all: int = 1_000_000  # beyond, only small streams grow, up to twice as many
    names_of_small: int = 4_000  # a stream with no more than these, which a sidecar has, is small
    peer_parts: int = 4  # one address has at most one part of the streams and of the names
    name_chars: int = 512
    response_bytes: int = 2 << 20  # where a response may be cut in two: half of what gRPC takes by default

    def names(self, kind: str) -> int:
        """The names of one type that a client of this kind may hold."""
        return self.names_per_type_envoy if kind == ENVOY else self.names_per_type

    @property
    def streams_per_peer(self) -> int:
        return max(1, self.streams // self.peer_parts)

    def check_room(self, own: int, peer: Peer, in_all: int) -> None:
        """A stream that holds `own` names has asked for more: raises Refusal where there is no room for it."""
        most = self.names_in_all * (2 if own <= self.names_of_small else 1)
        if in_all > most:
            raise refuse_more("too many names are subscribed to by all clients together; try again later")
        if peer.names > most // self.peer_parts:
            raise refuse_more("too many names are subscribed to from this address; try again later")


class Peer:
    """An address, and what its streams hold together."""

    __slots__ = ("address", "names", "streams")

    def __init__(self, address: str) -> None:
        self.address = address
        self.streams = 0
        self.names = 0


class Refusal(Exception):
    """The stream ends with this gRPC status, given by its name."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


def refuse_invalid(message: str) -> Refusal:
    return Refusal("INVALID_ARGUMENT", message)


def refuse_more(message: str) -> Refusal:
    return Refusal("RESOURCE_EXHAUSTED", message)
