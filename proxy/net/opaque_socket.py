"""What the kernel is told and asked of a raw connection's socket."""

from __future__ import annotations

import socket
import struct

# Of struct tcp_info (linux/tcp.h): state, ca_state, retransmits, probes; unacked; last_ack_recv; notsent_bytes.
_TCP_INFO = struct.Struct("=4B20xI28xI84xI")
_RESET = struct.pack("ii", 1, 0)


def be_patient(sock: socket.socket) -> None:
    """Undo what ends a connection whose peer is alive and does not read for a while.

    TCP_USER_TIMEOUT counts a closed window as silence, however well the peer answers (tcp_probe_timer in Linux): a
    program that pauses would lose its connection. Keepalive still finds an idle peer that is gone, in the same time.
    """
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    except OSError:
        # The peer may be gone already; the read says so next.
        return


def ask_kernel(sock: socket.socket, timeout_s: float) -> tuple[bool, bool]:
    """Whether the peer owes us an answer, and whether it has owed it for so long that it is gone.

    A peer with a closed window answers each probe, so only a second one without an answer counts.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    except OSError:
        return False, False
    _, _, retransmits, probes, unacknowledged, silence_ms, unsent = _TCP_INFO.unpack(info)
    has_no_answer = retransmits > 0 or probes > 1
    return bool(unacknowledged or unsent), has_no_answer and silence_ms >= timeout_s * 1000


def reset_at_close(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        return
