"""How a pod ends: what it has of time then, and how delay, grace and drain share it out (docs/operations.md).

Invariant: what nobody asked for fits into what is left, so that a request that takes too long is ended by the sidecar,
which says so to both sides, and not by the kubelet's SIGKILL, which says nothing.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from injector.patch.fields import Fields, Refusal
from injector.patch.values import read_duration_s
from injector.patch.wishes import Wishes

_DRAIN_DELAY_S, _DRAIN_TIMEOUT_S = 5, 30  # the sidecar's own defaults
_EXIT_S = 1  # for the sidecar's own end, after its drain


class End(NamedTuple):
    """How the pod ends: the time that it has then, and whether its containers end by themselves, as a job's do."""

    grace_s: int = 30
    by_itself: bool = False


class Shares(NamedTuple):
    """Texts as the sidecar reads them; an empty `shutdown_grace` where it needs none."""

    drain_delay: str
    shutdown_grace: str
    drain_timeout: str

    def count_s(self) -> float:
        return sum(read_duration_s(text) for text in self if text)


def read_end(spec: Fields) -> End:
    grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is None:
        grace_s = End().grace_s
    if isinstance(grace_s, bool) or not isinstance(grace_s, int) or grace_s < 0:
        raise Refusal("spec.terminationGracePeriodSeconds must be a number of seconds")
    return End(grace_s, spec.get("restartPolicy") in ("OnFailure", "Never"))


def share_out(wishes: Wishes, end: End) -> Shares:
    """What was asked for, and of the rest of the time what is sensible.

    A native sidecar outlives the application. A plain one gets SIGTERM together with it, after the delay: it needs a
    grace for as long as the application may take, and some time to drain after that. A pod that ends by itself is a
    job, which nobody calls: it is not to wait until its removal has spread.
    """
    delay = wishes.drain_delay or f"{0 if end.by_itself else min(_DRAIN_DELAY_S, end.grace_s // 3)}s"
    left_s = end.grace_s - read_duration_s(delay) - _EXIT_S
    if wishes.native_sidecar:
        return Shares(delay, "", wishes.drain_timeout or f"{max(1, min(_DRAIN_TIMEOUT_S, int(left_s)))}s")
    timeout = wishes.drain_timeout or f"{max(1, end.grace_s // 6)}s"
    grace = wishes.shutdown_grace or f"{max(0, int(left_s - read_duration_s(timeout)))}s"
    return Shares(delay, grace, timeout)


def make_end(shares: Shares) -> dict[str, str]:
    """The sidecar's variables. Empty where its defaults do."""
    return {
        "GOSSAMER_DRAIN_DELAY": "" if shares.drain_delay == f"{_DRAIN_DELAY_S}s" else shares.drain_delay,
        "GOSSAMER_DRAIN_TIMEOUT": "" if shares.drain_timeout == f"{_DRAIN_TIMEOUT_S}s" else shares.drain_timeout,
        "GOSSAMER_SHUTDOWN_GRACE": shares.shutdown_grace,
    }


def explain_end(wishes: Wishes, end: End) -> str:
    """A sentence if what was asked for does not fit into the pod's time, else none."""
    if not (wishes.drain_delay or wishes.drain_timeout or wishes.shutdown_grace):
        return ""
    shares = share_out(wishes, end)
    needed_s = shares.count_s()
    if needed_s <= end.grace_s:
        return ""
    named = zip(("drain-delay", "shutdown-grace", "drain-timeout"), shares, strict=True)
    parts = " + ".join(f"{name} {text}" for name, text in named if text)
    return (
        f"{parts} is more than the {end.grace_s}s that the pod has for its end, so requests are cut off then: raise "
        f"terminationGracePeriodSeconds to at least {ceil(needed_s)}, or ask for less"
    )
