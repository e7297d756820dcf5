"""Connections whose protocol is not decided yet: looked at without taking a byte, until the bytes or the time decide.

Whoever serves the connection then reads it from its first byte. A client that dribbles costs one wake-up per byte that
it sends at most: SO_RCVLOWAT keeps the kernel from waking us for bytes that were seen. Slow loris is bounded by the
timeout, from the accept on; a flood by `MAX_UNDECIDED`, over which the oldest are decided as if their time were up.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic
from typing import NamedTuple

from proxy.codec.detect import HTTP1, MAX_BYTES, MORE, NAMES, OPAQUE, detect, is_for_proxy
from proxy.codec.tls_hello import Hello
from proxy.metrics.connections import ConnectionCounts
from proxy.net.log import log_bug
from proxy.net.poll import Watcher
from proxy.net.room import Idle
from proxy.net.turns import SHARE_S
from proxy.relay.relay import Tally
from proxy.route.hints import DETECT_TIMEOUT_S, HINTED_TIMEOUT_S, Address, Expectation, Hints

MAX_UNDECIDED = 4_096
# An HTTP client may open its connections long before it has a request.
HTTP_IDLE_S = 3_600.0
# Where a kernel wakes us for nothing, it may do so this often.
_REST_S = 0.05
_CLOSE_WAIT = 8  # tcp_states.h


class Decision(NamedTuple):
    """What a connection speaks, and how that was found out: known, port, bytes, silence, hint, end or pressure.

    `is_silent`: its client has said nothing so far, so it may turn out to speak something after all.
    """

    kind: int
    reason: str
    is_silent: bool = False
    hello: Hello | None = None


class Undecided:
    """A connection that is watched. `seen` is how much of it we have looked at."""

    __slots__ = ("expectation", "is_hinted", "original", "seen", "since_s", "sock", "where")

    def __init__(
        self, sock: socket.socket, original: Address | None, expectation: Expectation, is_hinted: bool, now: float
    ) -> None:
        self.sock = sock
        self.original = original
        self.expectation = expectation
        self.is_hinted = is_hinted
        self.since_s = now
        self.seen = 0
        self.where: dict[Undecided, None] = {}


class Detector:
    """One per direction. `expect(original, sock)` says what is known beforehand; `decided(sock, original, decision)`
    takes the connection over."""

    def __init__(
        self,
        watcher: Watcher,
        direction: str,
        expect: Callable[[Address | None, socket.socket], Expectation],
        decided: Callable[[socket.socket, Address | None, Decision], None],
        hints: Hints,
        counts: ConnectionCounts,
        timeout_s: float = DETECT_TIMEOUT_S,
        limit: int = MAX_UNDECIDED,
    ) -> None:
        self.direction = direction
        self.expect = expect
        self.decided = decided
        self.hints = hints
        self.counts = counts
        self.timeout_s = timeout_s
        self.limit = limit
        self.aio = asyncio.get_running_loop()
        self.loop = watcher
        # Each has one timeout for all, so the first of each is the next whose time is up.
        self.waiting: dict[Undecided, None] = {}
        self.hinted: dict[Undecided, None] = {}
        # Clients of ports that are known for HTTP: their first line is not whole yet, or they have said nothing so far.
        self.begun: dict[Undecided, None] = {}
        self.resting: dict[Undecided, None] = {}
        # A sweep has left some to the next turn.
        self.is_behind = False

    def arrive(self, sock: socket.socket, original: Address | None) -> None:
        """Take an accepted connection, and hand it over once it is decided; often that is at once."""
        expectation = self.expect(original, sock)
        if expectation.kind != MORE:
            self._hand_over(sock, original, Decision(expectation.kind, expectation.reason))
            return
        now = monotonic()
        is_hinted = original is not None and not expectation.is_http and self.hints.knows(original, now)
        one = Undecided(sock, original, expectation, is_hinted, now)
        self.loop.add_reader(sock.fileno(), self._look, one)
        self._put(one, self.hinted if is_hinted else self.waiting)
        self._look(one)
        if len(self) > self.limit and not self.is_behind:
            self._expire_due(now)

    def __len__(self) -> int:
        return len(self.waiting) + len(self.hinted) + len(self.begun) + len(self.resting)

    def _put(self, one: Undecided, where: dict[Undecided, None]) -> None:
        one.where.pop(one, None)
        one.where = where
        where[one] = None

    # ---- looking

    def _look(self, one: Undecided) -> None:
        try:
            data = one.sock.recv(MAX_BYTES, socket.MSG_PEEK)
            if len(data) > one.seen:
                self._judge(one, data)
            elif is_half_closed(one.sock):
                self._end(one)
            else:
                self._rest(one)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._drop(one, "end")
        except Exception as bug:  # Else it would be called again, and again.
            log_bug("a connection was ended by a bug in the proxy", bug)
            self._drop(one, "bug")

    def _judge(self, one: Undecided, data: bytes) -> None:
        one.seen = len(data)
        verdict = detect(data)
        if verdict.kind == MORE:
            one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, verdict.needed)
            return
        if one.is_hinted and one.original is not None:
            self.hints.forget(one.original)  # this is no server that speaks first
        if verdict.kind == OPAQUE and one.expectation.is_http:
            self._drop(one, "bytes")  # a policy for HTTP would not see it
            return
        passed = verdict.kind == HTTP1 and one.expectation.passes_proxies and is_for_proxy(data)
        self._decide(one, Decision(OPAQUE if passed else verdict.kind, "bytes", False, verdict.hello))

    def _rest(self, one: Undecided) -> None:
        self.loop.remove_reader(one.sock.fileno())
        self.aio.call_later(_REST_S, self._watch_again, one)

    def _watch_again(self, one: Undecided) -> None:
        if one in one.where:
            self.loop.add_reader(one.sock.fileno(), self._look, one)

    # ---- deciding

    def _end(self, one: Undecided) -> None:
        """The client has said all that it will ever say."""
        if one.expectation.is_http:
            self._drop(one, "end")
        else:
            self._decide(one, Decision(OPAQUE, "end"))

    def _expire(self, one: Undecided, reason: str) -> None:
        """The time is up, or there are too many."""
        if not one.expectation.is_http:
            self._decide(one, Decision(OPAQUE, reason, not one.seen))
        elif reason == "pressure" or one.where is not self.waiting:
            self._drop(one, reason)
        else:
            self._put(one, self.begun if one.seen else self.resting)

    def _decide(self, one: Undecided, decision: Decision) -> None:
        self._forget(one)
        one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        self._hand_over(one.sock, one.original, decision)

    def _drop(self, one: Undecided, reason: str) -> None:
        self._forget(one)
        one.sock.close()
        self.counts.detections.add(self.direction, NAMES[MORE], reason)

    def _forget(self, one: Undecided) -> None:
        one.where.pop(one, None)
        self.loop.remove_reader(one.sock.fileno())

    def _hand_over(self, sock: socket.socket, original: Address | None, decision: Decision) -> None:
        self.counts.detections.add(self.direction, NAMES[decision.kind], decision.reason)
        try:
            self.decided(sock, original, decision)
        except Exception as bug:  # One connection's bug must not take the others along.
            log_bug("a connection was ended by a bug in the proxy", bug)
            sock.close()

    # ---- from time to time

    def sweep(self, now: float) -> None:
        """To be called every tenth of a second or so."""
        if not self.is_behind:
            self._expire_due(now)

    def _expire_due(self, now: float) -> None:
        """As many as there is time for, and the others in the next turns of the loop."""
        until_s = monotonic() + SHARE_S
        self.is_behind = False
        while (found := self._find_due(now)) is not None:
            self._expire(*found)
            if monotonic() >= until_s:
                self.is_behind = True
                self.aio.call_soon(self._expire_due, now)
                return

    def _find_due(self, now: float) -> tuple[Undecided, str] | None:
        """Whose time is up, and why: where there are too many, the oldest of those who wait longest."""
        for queue, timeout_s, reason in (
            (self.hinted, HINTED_TIMEOUT_S, "hint"),
            (self.waiting, self.timeout_s, "silence"),
            (self.begun, DETECT_TIMEOUT_S, "silence"),
            (self.resting, HTTP_IDLE_S, "silence"),
        ):
            one = next(iter(queue), None)
            if one is not None and one.since_s <= now - timeout_s:
                return one, reason
        if len(self) <= self.limit:
            return None
        oldest = (next(iter(queue)) for queue in (self.resting, self.waiting, self.begun, self.hinted) if queue)
        return min(oldest, key=lambda one: one.since_s), "pressure"

    # ---- as a kind of clients (`room`, `relief`)

    def count(self) -> int:
        return len(self)

    def count_descriptors(self) -> int:
        """With those that they may need for an endpoint in a moment."""
        return 2 * len(self)

    def count_expected(self) -> int:
        return len(self)

    def find_idle(self) -> Iterator[Idle | None]:
        for queue in (self.waiting, self.hinted, self.begun, self.resting):
            for one in list(queue):
                # Since its word was due: those that were passed on in silence have been idle for longer.
                since_s = one.since_s + self.timeout_s
                yield Idle(False, since_s, partial(self._drop, one, "pressure")) if one in one.where else None

    def find_held(self) -> Iterator[tuple[int, Undecided]]:
        """Nothing has been read of them."""
        return iter(())

    def end_held(self, one: Undecided, tally: Tally) -> None:
        """None of them holds anything."""

    def close(self) -> None:
        """End everything at once."""
        for one in (*self.waiting, *self.hinted, *self.begun, *self.resting):
            self._drop(one, "end")


def is_half_closed(sock: socket.socket) -> bool:
    """Whether the peer has sent its end, which does not show while bytes before it are unread."""
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0] == _CLOSE_WAIT
