"""HTTP/1 for the table in `parsers`: all that both roles make of the bytes, in one piece and in two."""

from __future__ import annotations

from typing import Any

from tests.unit.proxy.codec.h1_roles import ClientRecorder, ServerRecorder, feed

Outcome = Any
REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
)


def parse_h1_requests(data: bytes) -> Outcome:
    """A client's bytes; each request is answered at once, so that the next one is read."""
    outcomes = []
    for cut in (len(data), len(data) // 2):
        conn = ServerRecorder()
        tail = feed(conn, data[:cut], data[cut:])
        outcomes.append((list(conn.events), tail, conn.closed, conn.reading, conn.messages))
    assert outcomes[0] == outcomes[1], "the chunking changed the meaning"
    return outcomes[0]


def parse_h1_responses(data: bytes) -> Outcome:
    """An endpoint's bytes, as the answer to GET, to HEAD and to an upgrade."""
    outcomes = []
    for request in REQUESTS:
        pair = []
        for cut in (len(data), len(data) // 2):
            conn = ClientRecorder()
            conn.send_request(conn.memo.request(request))
            tail = feed(conn, data[:cut], data[cut:])
            conn.peer_ended(2.0)
            pair.append((list(conn.events), tail, conn.closed, conn.reading, conn.keep_alive_s))
        assert pair[0] == pair[1], "the chunking changed the meaning"
        outcomes.append(pair[0])
    return outcomes
