"""All streams together: opens and closes them, and says which have something to send after a change.

The transport calls `announce` when the catalog has changed and `release` at `next_release`; both leave in `woken` the
streams whose `take` has to be called.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from typing import Final

from controlplane.discovery.bounds import Bounds, Peer, refuse_more
from controlplane.discovery.catalog import Catalog
from controlplane.discovery.delta import DeltaStream
from controlplane.discovery.interest import Interests
from controlplane.discovery.sotw import SotwStream
from controlplane.discovery.stream import Nack, Push, Shared, Stream
from controlplane.discovery.wire import Responses
from controlplane.translate.resource import TYPES

BYTES_PER_S: Final = 50_000_000
_NACKS_KEPT: Final = 64
_NEW_NACKS_MAX: Final = 10  # a hostile client fills no log


class Exchange:
    def __init__(self, catalog: Catalog, bounds: Bounds | None = None, bytes_per_s: float = BYTES_PER_S) -> None:
        self.bounds = bounds or Bounds()
        self.interests = Interests(catalog, bytes_per_s)
        self.streams: dict[Stream, None] = {}  # in the order in which they came
        self._peers: dict[str, Peer] = {}
        self.nacks: deque[Nack] = deque(maxlen=_NACKS_KEPT)  # the last of them, for whoever looks
        self.new_nacks: list[Nack] = []  # to be logged; the same bytes, refused by many for one reason, are in it once
        self.nacks_total: Counter[str] = Counter()
        self.pushes_total: Counter[str] = Counter()
        self.push_bytes_total: Counter[str] = Counter()
        self._shared = Shared(self.interests, Responses(), self.bounds, self._report_nack, {})

    @property
    def is_full(self) -> bool:
        return len(self.streams) >= self.bounds.streams

    def open_delta(self, address: str = "") -> Stream:
        """For a client at this address; raises Refusal where it or all have enough."""
        return self._open(DeltaStream(self._shared, self._peer(address)))

    def open_sotw(self, address: str = "") -> Stream:
        return self._open(SotwStream(self._shared, self._peer(address)))

    def _peer(self, address: str) -> Peer:
        if self.is_full:
            raise refuse_more(f"this control plane serves {self.bounds.streams} streams; try another replica")
        peer = self._peers.get(address) or Peer(address)
        most = self.bounds.streams_per_peer
        if peer.streams >= most:
            raise refuse_more(f"this control plane serves {most} streams of one address; try another replica")
        return peer

    def _open(self, stream: Stream) -> Stream:
        self._peers[stream.peer.address] = stream.peer
        stream.peer.streams += 1
        self.streams[stream] = None
        return stream

    def close(self, stream: Stream) -> None:
        """Forget the stream; more than once does no harm."""
        stream.close()
        if stream not in self.streams:
            return
        del self.streams[stream]
        stream.peer.streams -= 1
        if not stream.peer.streams:
            del self._peers[stream.peer.address]

    def announce(self, keys: Collection[str], now: float, since: float | None = None) -> list[Stream]:
        """The catalog has changed in these keys, because of what happened at `since`; the streams that it concerns."""
        self.interests.announce(keys, now, now if since is None else since)
        return self._woken()

    def release(self, now: float) -> list[Stream]:
        """The time of what was put off may have come; the streams that it concerns."""
        self.interests.release(now)
        return self._woken()

    @property
    def next_release(self) -> float | None:
        return self.interests.next_release

    def count(self, push: Push) -> None:
        """This has been written. Clients choose the types; those that are unknown are counted as one."""
        type_url = push.type_url if push.type_url in TYPES else ""
        self.pushes_total[type_url] += 1
        self.push_bytes_total[type_url] += len(push.data)

    def _woken(self) -> list[Stream]:
        woken = list(self._shared.woken)
        self._shared.woken.clear()
        return woken

    def _report_nack(self, nack: Nack) -> None:
        self.nacks_total[nack.type_url if nack.type_url in TYPES else ""] += 1
        known = any((nack.type_url, nack.nonce, nack.problem) == (n.type_url, n.nonce, n.problem) for n in self.nacks)
        self.nacks.append(nack)
        if not known and len(self.new_nacks) < _NEW_NACKS_MAX:
            self.new_nacks.append(nack)
