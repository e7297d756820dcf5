"""Telling peers that are gone without a word from those that are alive and do not read (docs/decisions/0017).

TCP_USER_TIMEOUT cannot: it takes a closed window for silence, however well the peer answers (tcp_probe_timer in Linux).
So the kernel is asked, now and then, about those connections alone that may be owed an acknowledgement. A peer that is
owed none is the keepalive's business.

Invariant: a connection is given up only where nothing at all has come for `_GONE_PART` of the timeout, in which the
kernel has asked again in vain.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

from proxy.net.kernel import Answer, ask_kernel, reset_at_close
from proxy.net.turns import in_turns

T = TypeVar("T")
# How often there is a look, and how long there must have been no answer: together with a sweep's second, one timeout.
LOOK_PART = 1 / 10
_GONE_PART = 3 / 4
# Linux leaves a probe unanswered that comes half a second after another (tcp_oow_rate_limited), and one can be lost.
_REMINDERS = 2
# The kernel's clock and ours do not tick together.
_SLACK_S = 0.1


class Patience(Generic[T]):
    """One for each sweep. `owing` are those of the look that goes on, or has ended, that are owed something, and since
    when in vain; `before` are those of the look before it, all of which are to be asked about again."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.owing: dict[T, float] = {}
        self.before: dict[T, float] = {}
        self.next_s = 0.0

    def is_due(self, now: float) -> bool:
        """Whether it is time for a look."""
        if now < self.next_s:
            return False
        self.next_s = now + self.timeout_s * LOOK_PART
        return True

    def begin(self) -> None:
        """A look."""
        self.before, self.owing = self.owing, {}

    def is_gone(self, one: T, fd: int, now: float) -> bool:
        """Whether the peer of one that may be owed something, with this descriptor, is gone."""
        answer = ask_kernel(fd)
        if not answer.is_owed:
            return False
        since_s = self.owing[one] = read_silence(answer, self.before.get(one, now), now)
        return now - since_s >= self.timeout_s * _GONE_PART


def read_silence(answer: Answer, since_s: float, now: float) -> float:
    """Since when the peer has left reminders unanswered: as before, or only now."""
    is_silent = answer.reminders >= _REMINDERS and answer.silence_s + _SLACK_S >= now - since_s
    return since_s if is_silent else now


async def end_gone(
    patience: Patience[Any], adapters: Collection[Any], is_doubtful: Callable[[Any], bool], now: float
) -> None:
    """To be called at every sweep over adapters of either version of HTTP."""
    if not patience.is_due(now):
        return
    patience.begin()
    async for adapter in in_turns(list(adapters)):
        if adapter not in adapters or not is_open(adapter.transport):
            continue
        if adapter in patience.before or is_doubtful(adapter):
            fd = adapter.transport.get_extra_info("socket").fileno()
            if patience.is_gone(adapter, fd, now):
                give_up(adapter)


def is_open(transport: Any) -> bool:
    """Whether its descriptor is still its own: it may be closing, but not before all is sent."""
    return transport is not None and (not transport.is_closing() or transport.get_write_buffer_size() > 0)


def give_up(adapter: Any) -> None:
    """End it as the kernel would: with an error that says why."""
    transport = adapter.transport
    reset_at_close(transport.get_extra_info("socket"))
    transport.set_protocol(_Farewell(adapter))
    transport.abort()


class _Farewell(asyncio.Protocol):
    """Tells an adapter why its connection has ended: a transport that is aborted knows no reason."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter

    def connection_lost(self, exc: Exception | None) -> None:
        self.adapter.connection_lost(exc or make_timeout())


def make_timeout() -> TimeoutError:
    """What the kernel says of a peer that it gives up."""
    return TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
