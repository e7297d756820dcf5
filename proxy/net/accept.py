"""Listening for connections that were meant for others: accepts them, and says where each was going.

iptables redirects a pod's connections here; the kernel remembers their original destination (SO_ORIGINAL_DST, and its
IPv6 sister). Who connects to us without being redirected has none: its destination is our own address.

The kernel's queues know one order, that of arrival, so they are emptied fast. Whose turn it is then goes by where they
come from, and among those from one address by where they want to go: a flood makes only those wait who come from there
and want the same (fair queueing, RFC 970). Where there were no descriptors, the order is that of arrival. A flood
that is faster than they are emptied fills one of several queues (`net/shards`).

Invariant: running out of file descriptors neither ends the listener nor makes it spin: it rests, and the clients wait
in the backlog.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections import OrderedDict, deque
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from proxy.metrics.connections import ConnectionCounts
from proxy.net.adapter import describe_errno, tune_socket
from proxy.net.log import log, log_bug
from proxy.net.room import Room
from proxy.net.shards import listen_in_shards
from proxy.net.turns import SHARE_S
from proxy.route.hints import Address

BACKLOG = 1024
# So many wait here at most, and others in the kernel's queues. From one of these so many times what is left of the
# places, so that those who fill one leave some to the others (dynamic thresholds, Choudhury and Hahne, 1998); but a few
# of each in any case, or one where too many wait by that.
_MAX_ARRIVALS = 4_096
_TIMES = 4
_FEW = 4
# A turn's share of time at most, where one was not enough.
_MOST_S = 4 * SHARE_S
_REST_S = 0.1
# After there were no descriptors, nobody is accepted for so long before the one before him is served.
_SCARCE_S = 1.0
# It is said again only where there was enough for so long.
_QUIET_S = 60.0
# After the listener is told to close it goes on for so long: what is in its backlog is accepted, not reset.
_BACKLOG_S = 0.1
# Who calls there is this pod, in one queue.
LOOPBACK = "127.0.0.1", "::1"
# Not in the `socket` module. Both are options of their protocol's level (linux/netfilter_ipv4.h, _ipv6/ip6_tables.h).
_ORIGINAL_DST = 80
_SOCKADDR_IN = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6 = struct.Struct("!2xH4x16s4x")
# There is nothing left to accept with; other errors are those of a connection that is gone again (accept(2)).
_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Arrival(NamedTuple):
    """Who was accepted, and by which socket."""

    sock: socket.socket
    listening: socket.socket


class Acceptor:
    """Listening sockets of one direction. `arrived(sock, original)` gets each connection, non-blocking, for which there
    is `room`; without one there always is."""

    def __init__(
        self,
        direction: str,
        arrived: Callable[[socket.socket, Address | None], None],
        counts: ConnectionCounts,
        user_timeout_s: float,
        room: Room | None = None,
    ) -> None:
        self.direction = direction
        self.arrived = arrived
        self.counts = counts
        self.user_timeout_s = user_timeout_s
        self.room = room
        self.loop = asyncio.get_running_loop()
        self.sockets: list[socket.socket] = []
        self.quiet_until_s = 0.0
        self.scarce_until_s = 0.0
        # By where they come from, and want to go; who was served a moment ago is last.
        self.arrivals: OrderedDict[str, OrderedDict[Address | None, deque[Arrival]]] = OrderedDict()
        # How many that are, with those who were handed over but not served yet; and by the socket that they came by.
        self.waiting = 0
        self.came_by: dict[socket.socket, int] = {}
        # When this turn's share of time is over, 0.0 between the turns; and how much that is.
        self.until_s = 0.0
        self.share_s = SHARE_S
        self.is_short = False
        # Whether the next turn serves what this one has left.
        self.is_due = False

    def listen(self, host: str, port: int, reuse_port: bool = False) -> Address:
        """Listen on an IP address as well; OSError where that fails. Returns the address in use."""
        first = self._make_socket(host)
        try:
            if reuse_port:
                first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            first.bind((host, port))
            if reuse_port or host in LOOPBACK:
                first.listen(BACKLOG)
                made = [first]
            else:
                made = listen_in_shards(first, lambda: self._make_socket(host), BACKLOG)
        except OSError:
            first.close()
            raise
        for sock in made:
            self.sockets.append(sock)
            self.came_by[sock] = 0
            self.loop.add_reader(sock.fileno(), self._accept, sock)
        address: Address = first.getsockname()[:2]
        return address

    def _make_socket(self, host: str) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        tune_socket(sock, self.user_timeout_s)
        return sock

    def configure(self, user_timeout_s: float) -> None:
        """For the connections to come."""
        self.user_timeout_s = user_timeout_s
        for sock in self.sockets:
            tune_socket(sock, user_timeout_s)

    def _accept(self, listening: socket.socket) -> None:
        """One at least, and as many as there is time for: the sockets share a turn's time."""
        if not self.until_s:
            self.until_s = monotonic() + self.share_s
            self.loop.call_soon(self._end_turn)
        most = self._count_places()
        while self._has_place(listening, most) and self._accept_one(listening):
            now = monotonic()
            if self.arrivals and now < self.scarce_until_s:
                # Who was accepted needs a second descriptor, for his endpoint: he gets it before there is another.
                self._serve_next()
                most = self._count_places()
            if now >= self.until_s:
                # All wait behind a flood as long as it is in the kernel's queue.
                self.is_short = True
                break
        if not self.is_due:
            self._serve()

    def _end_turn(self) -> None:
        self.until_s = 0.0
        self.share_s = min(2 * self.share_s, _MOST_S) if self.is_short else SHARE_S
        self.is_short = False

    def _has_place(self, listening: socket.socket, most: int) -> bool:
        came_by = self.came_by[listening]
        few = _FEW if self.waiting < 2 * most else 1
        return came_by < few or came_by < _TIMES * (most - self.waiting)

    def _count_places(self) -> int:
        return _MAX_ARRIVALS if self.room is None else min(_MAX_ARRIVALS, self.room.count_places())

    def _serve(self) -> None:
        self.is_due = False
        until_s = monotonic() + SHARE_S
        while self.arrivals:
            self._serve_next()
            if monotonic() >= until_s:
                break
        if self.arrivals:
            self.is_due = True
            self.loop.call_soon(self._serve)

    def _serve_next(self) -> None:
        source, wanted = self.arrivals.popitem(last=False)
        original, arrivals = wanted.popitem(last=False)
        sock, listening = arrivals.popleft()
        self.waiting -= 1
        self.came_by[listening] -= 1
        if arrivals:
            wanted[original] = arrivals
        if wanted:
            self.arrivals[source] = wanted
        self._take(sock, original)

    def _take(self, sock: socket.socket, original: Address | None) -> None:
        if self.room is not None and not self.room.admit():
            sock.close()
            return
        try:
            self.arrived(sock, original)
        except Exception as bug:  # One connection's bug must not take the others along.
            log_bug("a connection was ended by a bug in the proxy", bug)
            sock.close()

    def _accept_one(self, listening: socket.socket) -> bool:
        """Whether there may be more."""
        try:
            sock, peer = listening.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self.counts.accept_failures.add(self.direction, describe_errno(error))
            if error.errno in _EXHAUSTED:
                self._rest(listening, error)
                return False
            return True
        sock.setblocking(False)
        wanted = self.arrivals.setdefault(find_source(peer[0]), OrderedDict())
        wanted.setdefault(read_original(sock), deque()).append(Arrival(sock, listening))
        self.waiting += 1
        self.came_by[listening] += 1
        return True

    def _rest(self, listening: socket.socket, error: OSError) -> None:
        now = monotonic()
        if now >= self.quiet_until_s:
            log(
                f"no more connections are accepted for now ({error.strerror}): raise the limit of open files "
                "(ulimit -n) or look for who holds so many connections"
            )
        self.quiet_until_s = now + _QUIET_S
        self.scarce_until_s = now + _SCARCE_S
        self.loop.remove_reader(listening.fileno())
        self.loop.call_later(_REST_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self.sockets:
            self.loop.add_reader(listening.fileno(), self._accept, listening)

    async def close(self) -> None:
        """Accept what has come already, however many wait, then listen no more."""
        await asyncio.sleep(_BACKLOG_S)
        while self.sockets:
            sock = self.sockets[-1]
            self.loop.remove_reader(sock.fileno())
            until_s = monotonic() + _MOST_S
            for _ in range(BACKLOG + 1):  # as many as the kernel keeps: a flood does not end
                if not self._accept_one(sock):
                    break
                if monotonic() >= until_s:
                    await asyncio.sleep(0)
                    until_s = monotonic() + _MOST_S
            self.sockets.remove(sock)
            self.loop.remove_reader(sock.fileno())
            sock.close()
        if not self.is_due:
            self._serve()

    def drop(self) -> None:
        """Nobody who waits here is served any more."""
        for wanted in self.arrivals.values():
            for arrival in (arrival for arrivals in wanted.values() for arrival in arrivals):
                arrival.sock.close()
        self.arrivals.clear()
        self.waiting = 0


def find_source(host: str) -> str:
    """Who has an IPv6 address has as many as he likes: what is his is the /64 (RFC 6177)."""
    return host if ":" not in host else socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8].hex()


def read_original(sock: socket.socket) -> Address | None:
    """Where the client wanted to go; None where it wanted to come to us."""
    try:
        if sock.family == socket.AF_INET6:
            raw = sock.getsockopt(socket.IPPROTO_IPV6, _ORIGINAL_DST, _SOCKADDR_IN6.size)
        else:
            raw = sock.getsockopt(socket.IPPROTO_IP, _ORIGINAL_DST, _SOCKADDR_IN.size)
        local = sock.getsockname()[:2]
    except OSError:
        return None  # no connection tracking here, so no redirection
    original = parse_original(raw)
    return None if original == local else original


def parse_original(raw: bytes) -> Address:
    """Read a sockaddr_in or sockaddr_in6."""
    if len(raw) == _SOCKADDR_IN6.size:
        port, host = _SOCKADDR_IN6.unpack(raw)
        return socket.inet_ntop(socket.AF_INET6, host), port
    port, host = _SOCKADDR_IN.unpack(raw)
    return socket.inet_ntop(socket.AF_INET, host), port
