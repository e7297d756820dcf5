"""Connecting a raw connection's other side: one address after the other, until one answers or the time is up.

Waits where there is no endpoint yet, or no file descriptor, as long as the way allows. Invariant: exactly one of
`connected(sock)` and `refused(reason)` is called, once, unless the dial is cancelled before.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from proxy.net.adapter import tune_socket
from proxy.relay.opaque import Way

if TYPE_CHECKING:
    from proxy.net.opaque import OpaqueRelay


class Dial:
    """`deadline_s` is when the wait, or the present connect, is given up."""

    __slots__ = ("connected", "deadline_s", "reason", "refused", "relay", "sock", "way")

    def __init__(
        self,
        relay: OpaqueRelay,
        way: Way,
        now: float,
        connected: Callable[[socket.socket], None],
        refused: Callable[[str], None],
    ) -> None:
        self.relay = relay
        self.way = way
        self.connected = connected
        self.refused = refused
        self.sock: socket.socket | None = None
        self.deadline_s = now + way.failfast_s
        self.reason = "no-endpoint"

    def tick(self, now: float) -> None:
        """To be called at the beginning, and then often."""
        if self.sock is None:
            self._try_next(now)
        elif now >= self.deadline_s:
            self._failed(self.sock, errno.ETIMEDOUT, now)

    def cancel(self) -> None:
        if self.sock is not None:
            self.relay.loop.remove_writer(self.sock.fileno())
            self.sock.close()
            self.sock = None
            self.way.abandoned(monotonic())

    def _try_next(self, now: float) -> None:
        address = self.way.next(now, self.relay.rng)
        if address is None:
            if now >= self.deadline_s:
                self.refused(self.reason)
            return
        if self.relay.is_forbidden(address):
            self.way.abandoned(now)
            self.refused("loop")
            return
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        except OSError:
            self.way.abandoned(now)
            self.reason = "no-descriptor"
            if now >= self.deadline_s:
                self.refused(self.reason)
            return
        self.sock = sock
        sock.setblocking(False)
        tune_socket(sock, self.relay.user_timeout_s)
        self.deadline_s = now + self.way.connect_timeout_s
        try:
            number = sock.connect_ex(address)
        except OSError as error:
            number = error.errno or errno.EINVAL
        if number in (0, errno.EINPROGRESS):
            self.relay.loop.add_writer(sock.fileno(), self._finish)
        else:
            self._failed(sock, number, now)

    def _finish(self) -> None:
        """The connect is over, one way or the other."""
        sock, now = self.sock, monotonic()
        assert sock is not None
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._failed(sock, number, now)
            return
        self.relay.loop.remove_writer(sock.fileno())
        self.sock = None
        self.way.connected(now)
        self.connected(sock)

    def _failed(self, sock: socket.socket, number: int, now: float) -> None:
        self.relay.loop.remove_writer(sock.fileno())
        sock.close()
        self.sock = None
        self.way.failed(now)
        self.relay.connect_failed(errno.errorcode.get(number, str(number)))
        self.reason = "connect-failed"
        self.deadline_s = now
        if self.way.may_retry():
            self._try_next(now)
        else:
            self.refused(self.reason)
