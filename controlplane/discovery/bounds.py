"""How much one client may ask for, and how it is told that it asked for more.

A hostile or broken client costs a bounded amount and ends with a clear status; the others do not notice.
"""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.translate.resource import ENVOY


@dataclass(frozen=True, slots=True)
class Bounds:
    """A sidecar holds 1,000 listeners, each of which may lead to several clusters. Envoy names all there are."""

    streams: int = 5_000
    types_per_stream: int = 16
    names_per_type: int = 10_000
    names_per_type_envoy: int = 50_000
    names_in_all: int = 1_000_000
    name_chars: int = 512
    response_bytes: int = 2 << 20  # where a response may be cut in two: half of what gRPC takes by default

    def names(self, kind: str) -> int:
        """The names of one type that a client of this kind may hold."""
        return self.names_per_type_envoy if kind == ENVOY else self.names_per_type


class Refusal(Exception):
    """The stream ends with this gRPC status, given by its name."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


def refuse_invalid(message: str) -> Refusal:
    return Refusal("INVALID_ARGUMENT", message)


def refuse_more(message: str) -> Refusal:
    return Refusal("RESOURCE_EXHAUSTED", message)
