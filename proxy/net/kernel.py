"""What the kernel is asked and told of a connection's socket."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import NamedTuple

# Of struct tcp_info (linux/tcp.h): state, ca_state, retransmits, probes; unacked; last_ack_recv; notsent_bytes.
_TCP_INFO = struct.Struct("=4B20xI28xI84xI")
_RESET = struct.pack("ii", 1, 0)
# TCP_CLOSE and TCP_CLOSE_WAIT of linux/tcp_states.h.
_CLOSED, _CLOSE_WAIT = 7, 8


class Answer(NamedTuple):
    """Whether the peer owes us an acknowledgement, and how often it was reminded since its last one: by what was sent
    again, or by probes. `is_closed`: by a reset, or since the peer did not answer; `has_ended`: it sends no more."""

    is_owed: bool
    reminders: int
    silence_s: float
    is_closed: bool = False
    has_ended: bool = False


NOTHING = Answer(False, 0, 0.0)


def ask_kernel(fd: int) -> Answer:
    """How things stand with a TCP connection. 2 us, of which the socket object takes most."""
    try:
        sock = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
    except (OSError, ValueError):
        return NOTHING
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        state, _, retransmits, probes, unacknowledged, silence_ms, unsent = _TCP_INFO.unpack(info)
    except (OSError, struct.error):
        return NOTHING  # it is gone, or the kernel is older than 4.6
    finally:
        sock.detach()
    is_owed = bool(unacknowledged or unsent)
    return Answer(is_owed, retransmits + probes, silence_ms / 1000, state == _CLOSED, state == _CLOSE_WAIT)


def is_local(host: str) -> bool:
    """Whether it is an address of this network namespace."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def read_fault(sock: socket.socket) -> OSError:
    """Why the kernel has closed a connection whose end was read before: a reset of such a one is an EPIPE to it."""
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number in (0, errno.EPIPE):
        number = errno.ECONNRESET
    return OSError(number, os.strerror(number))


def reset_at_close(sock: socket.socket) -> None:
    """Closing it is to say that the conversation was cut, and to leave nothing behind in the kernel."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        # The peer may be gone already; the read says so next.
        return
