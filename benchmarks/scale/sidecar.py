"""A light sidecar: it speaks to the control plane as the real one does, and keeps of what it gets only the versions.

The connection, the call and the subscriptions are the sidecar's own (`proxy.control`); what it would build from the
resources is left out, since a thousand of them share two cores with what is measured.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from benchmarks.scale.plan import Seat, canonical
from proxy.control.call import Call
from proxy.control.delta import Delta
from proxy.control.dial import connect
from proxy.control.link import Link
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE, Node, Resource
from proxy.control.wire import decode_response, encode_request
from proxy.route.model import Address

# A listener leads to its route, that to a cluster, and that to its endpoints.
NEXT = {LISTENER: ROUTE, ROUTE: CLUSTER, CLUSTER: ENDPOINTS}
_BACKOFF_MIN_S, _BACKOFF_MAX_S, _BACKOFF_FLOOR_S, _STEADY_S = 0.1, 30.0, 0.01, 5.0  # as in proxy.control


class Board(Protocol):
    """Where a sidecar says what happened to it."""

    def introduced(self, now: float) -> None:
        """All that it follows has been asked for on a new stream."""

    def completed(self, now: float) -> None:
        """Everything has come, for the first time."""

    def tracks(self, name: str) -> bool: ...

    def acknowledged(self, sidecar: int, resource: Resource, now: float) -> None:
        """Endpoints of a service that is tracked."""


class Sidecar:
    def __init__(self, number: int, seat: Seat, address: Address, board: Board) -> None:
        self.number, self.address, self.board = number, address, board
        self.node = Node(f"{seat.pod}.{seat.namespace}", seat.namespace, seat.zone, seat.node)
        self.delta = Delta()
        self.link: Link | None = None
        self.responses = self.faults = self.removals = self.failures = 0
        self.is_complete = self.is_introduced = self.is_stalled = False
        self._lost_bytes = 0
        self._fresh: list[Resource] = []
        self._end: asyncio.Future[None] | None = None
        for alias in seat.aliases:
            self.delta.subscribe(LISTENER, alias)

    @property
    def received_bytes(self) -> int:
        return self._lost_bytes + (self.link.received_bytes if self.link else 0)

    @property
    def is_connected(self) -> bool:
        return self.link is not None and self.link.call.stream is not None and not self.link.call.failure

    def follow(self, alias: str) -> None:
        """The pod calls one more service."""
        self.delta.subscribe(LISTENER, alias)
        self.is_complete = False
        self._speak()

    def stall(self) -> None:
        """Read nothing any more, as a pod without CPU."""
        self._transport(lambda transport: transport.pause_reading())
        self.is_stalled = True

    def resume(self) -> None:
        self.is_stalled = False
        self._transport(lambda transport: transport.resume_reading())

    def _transport(self, act: Callable[[asyncio.Transport], None]) -> None:
        if self.link is not None and self.link.transport is not None:
            act(self.link.transport)

    async def run(self) -> None:
        """Connected, or trying to be, until cancelled."""
        attempts = 0
        while True:
            began_s = monotonic()
            try:
                await self._talk()
            except (OSError, TimeoutError):
                self.failures += 1
            if monotonic() - began_s > _STEADY_S:
                attempts = 0
            limit_s = min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * 2.0 ** min(attempts, 20))
            attempts += 1
            await asyncio.sleep(max(_BACKOFF_FLOOR_S, limit_s * random.random()))

    async def _talk(self) -> None:
        self.delta.restart()
        self.is_introduced = False
        self._end = asyncio.get_running_loop().create_future()
        link = self.link = Link(Call(str(self.address), False), self._hear, monotonic)
        try:
            await connect(self.address, self.address.host, link, None)
            await self._end
        finally:
            self._lost_bytes += link.received_bytes
            self.link = None
            link.close()

    def _hear(self) -> None:
        """Something came, or the end has come."""
        link = self.link
        if link is None:
            return
        call = link.call
        while call.messages:
            response = decode_response(call.take_message())
            self.responses += 1
            self.removals += len(response.removed)
            for fault in self.delta.receive(response, monotonic(), self._accept, _forget):
                self.faults += bool(fault)
        if call.failure:
            if self._end is not None and not self._end.done():
                self._end.set_result(None)
            return
        self._speak()
        if self._fresh:
            now = monotonic()
            for resource in self._fresh:
                self.board.acknowledged(self.number, resource, now)
            self._fresh.clear()

    def _accept(self, resource: Resource) -> str:
        following = NEXT.get(resource.type_url)
        name = canonical(resource.name) if resource.type_url == LISTENER else resource.name
        if following is not None:
            if not self.delta.wants(following, name):
                self.delta.subscribe(following, name)
        elif self.board.tracks(name):
            self._fresh.append(resource)
        return ""

    def _speak(self) -> None:
        link = self.link
        if link is None or not link.call.is_writable():
            return
        for request in self.delta.requests(monotonic()):
            link.call.send_message(encode_request(request, None if self.is_introduced else self.node))
            if not self.is_introduced:
                self.is_introduced = True
                self.board.introduced(monotonic())
        link.flush()
        if not self.is_complete:
            self._judge()

    def _judge(self) -> None:
        wanted = len(self.delta.types[LISTENER].names)
        if len(self.delta.types[ENDPOINTS].versions) == wanted:
            self.is_complete = True
            self.board.completed(monotonic())


def _forget(name: str) -> None:
    """Nothing was built from it."""
