"""One HTTP/2 stream: the state of its two halves, its windows, and what waits to be sent (RFC 9113, sections 5.1, 5.2).

Each half goes IDLE -> OPEN -> CLOSED on its own: IDLE until the half's final header block, OPEN for the body, CLOSED
after END_STREAM or a reset. A stream whose two halves are CLOSED is forgotten by its connection.

Invariant: `recv_window` is what the peer may still send; it grows back only by what `peer`, the stream that passes the
bytes on, has drained. So at most `window_target` bytes of a stream ever wait in memory.
"""

from __future__ import annotations

from collections import deque
from typing import Any

IDLE = 0
OPEN = 1
CLOSED = 2


class Stream:
    """`owner` belongs to the relay; `peer` is the stream on the other side, to which received bytes go."""

    __slots__ = (
        "conn",
        "content_left",
        "id",
        "opened_s",
        "owner",
        "peer",
        "queue",
        "queue_end",
        "queue_trailers",
        "recv_state",
        "recv_window",
        "send_state",
        "send_window",
        "uncredited",
        "window_target",
    )

    def __init__(self, conn: Any, stream_id: int, send_window: int, recv_window: int, now: float) -> None:
        self.conn = conn
        self.id = stream_id
        self.recv_state = IDLE
        self.send_state = IDLE
        self.send_window = send_window
        self.recv_window = recv_window
        self.window_target = recv_window
        self.uncredited = 0
        # Bytes of body that content-length still promises; -1 where nothing was promised.
        self.content_left = -1
        self.opened_s = now
        self.queue: deque[bytes] | None = None
        self.queue_end = False
        self.queue_trailers: bytes | None = None
        self.peer: Stream | None = None
        self.owner: object = None
