"""The bound on what waits for slow receivers, over all clients together.

Each stream holds at most its window and each connection at most its streams (`codec/limits`), but many connections that
open no windows could together hold more than the pod has. So now and then it is added up, and the clients that hold
most are ended until the rest is within the budget. Who reads holds next to nothing, and is never among them.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.codec.constants import ENHANCE_YOUR_CALM
from proxy.codec.stream import Stream
from proxy.net.adapter import Adapter
from proxy.relay.downstream import Downstream

MAX_HELD_BYTES = 64 * 1024 * 1024
# Up to so many streams there is nothing to add up: they cannot hold that much but by windows that grew, which are
# bounded by themselves.
_FEW_STREAMS = 512


def relieve(adapters: Iterable[Adapter], max_held_bytes: int = MAX_HELD_BYTES) -> None:
    """End those for whom most waits, until there is no more than the budget."""
    clients = [adapter.conn for adapter in adapters if adapter.conn.open_streams]
    if sum(conn.open_streams for conn in clients) <= _FEW_STREAMS:
        return
    held = [(count_held(conn), conn) for conn in clients if isinstance(conn, Downstream)]
    total = sum(size for size, _ in held)
    for size, conn in sorted(held, key=lambda entry: entry[0], reverse=True):
        if total <= max_held_bytes:
            return
        total -= size
        conn.fail(ENHANCE_YOUR_CALM, "too much waits for it")


def count_held(conn: Downstream) -> int:
    """Bytes of responses that the client does not take, and of its requests that the endpoints do not take."""
    return sum(count_queued(stream) + count_queued(stream.peer) for stream in conn.streams.values())


def count_queued(stream: Stream | None) -> int:
    return sum(map(len, stream.queue)) if stream is not None and stream.queue is not None else 0
