"""What reading any xDS message needs: parsing, durations, and the refusal of what is not supported.

Whatever is wrong in a message, and whatever would change where requests go and is not supported, is an XdsError, so
that the control plane hears of it and what was in force stays.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message

_MAX_DURATION_S = 315_576_000_000  # of a protobuf Duration
_MAX_SHOWN_CHARS = 100

M = TypeVar("M", bound=Message)


class XdsError(Exception):
    """A resource cannot be used; the message is one sentence for whoever runs the control plane."""


class Ads(Protocol):
    """The ConfigSource of an xDS message."""

    def WhichOneof(self, oneof_group: str) -> str | None: ...  # noqa: N802 - protobuf's name


def parse(message: M, body: bytes) -> M:
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise XdsError(f"the bytes are no {type(message).__name__}") from None
    return message


def refuse_others(message: Message, allowed: frozenset[str], where: str) -> None:
    """Refuse a message with a field that is not known to be harmless."""
    for field, _ in message.ListFields():
        if field.name not in allowed:
            raise XdsError(f"{where}: {field.name} is not supported")


def require_ads(source: Ads, where: str) -> None:
    if source.WhichOneof("config_source_specifier") not in ("ads", "self"):
        raise XdsError(f"{where}: its source must be ADS")


def read_seconds(duration: Duration, where: str) -> float:
    if not 0 <= duration.seconds <= _MAX_DURATION_S or not 0 <= duration.nanos < 1_000_000_000:
        raise XdsError(f"{where}: the duration of {duration.seconds} s and {duration.nanos} ns is none")
    return duration.seconds + duration.nanos / 1e9


def quote(text: str) -> str:
    """Show a text of the message in an error, one line of it at most."""
    shown = text[:_MAX_SHOWN_CHARS]
    return repr(shown) if shown == text else repr(shown) + "..."
