"""One ADS stream from its first request to its end: moves messages between the call and the subscriptions.

Taking in a large answer gives way to the traffic every few milliseconds, and nothing more is said while the server does
not read: what is to be said waits as subscriptions, of which there is a bounded number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from proxy.control.delta import Delta
from proxy.control.link import Link
from proxy.control.messages import Node, Response
from proxy.control.tree import Tree
from proxy.control.wire import decode_response, encode_request
from proxy.route.message import XdsError

_TICK_S = 1.0
_TURN_S = 0.002
# A stream on which no answer is due counts as good after this long: what is here may be all that there is.
_QUIET_S = 1.0
# A server that has not answered anything by then is left for another.
SILENCE_S = 30.0


@dataclass(slots=True)
class Counters:
    """Of all streams so far; bytes are those of sockets that have been closed."""

    streams: int = 0
    responses: int = 0
    nacks: int = 0
    failures: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0


class Conversation:
    """`answered` is called with what was wrong with a response, '' where all is well; `settle` for a changed tree."""

    def __init__(
        self,
        link: Link,
        delta: Delta,
        tree: Tree,
        node: Node,
        counters: Counters,
        answered: Callable[[str], None],
        settle: Callable[[], None],
    ) -> None:
        self.link = link
        self.delta = delta
        self.tree = tree
        self.node: Node | None = node
        self.counters = counters
        self.answered = answered
        self.settle = settle
        self.is_good = False
        delta.restart()

    def is_established(self) -> bool:
        return self.link.call.stream is not None and not self.link.call.failure

    async def run(self, news: asyncio.Event, keepalive_s: float) -> str:
        """Until the stream ends; why it did."""
        call = self.link.call
        while not call.failure:
            await self._listen()
            now = monotonic()
            self._judge(now)
            self._speak(now)
            self.link.sweep(now, keepalive_s, self.delta.waiting_since())
            if not call.failure:
                await wait(news, _TICK_S)
        await self._listen()
        return call.failure

    async def _listen(self) -> None:
        call = self.link.call
        turn_s = monotonic()
        while call.messages:
            try:
                response = decode_response(call.take_message())
            except XdsError as error:
                call.end(f"it sent {error}")
                call.messages.clear()
                return
            self.link.flush()
            faults = []
            for fault in self.delta.receive(response, monotonic(), self.tree.put, self._remover(response)):
                if fault:
                    faults.append(fault)
                if monotonic() - turn_s > _TURN_S:
                    await asyncio.sleep(0)
                    turn_s = monotonic()
            self.is_good = self.delta.answered
            self.counters.responses += 1
            self.counters.nacks += bool(faults)
            self.answered(faults[0] if faults else "")
            self.settle()

    def _remover(self, response: Response) -> Callable[[str], None]:
        return lambda name: self.tree.remove(response.type_url, name)

    def _judge(self, now: float) -> None:
        """Who does not answer: the server, or only for a name that it does not know."""
        missing = self.delta.expire(now, self.link.heard_s)
        for type_url, name in missing:
            self.tree.remove(type_url, name)
        if missing:
            self.settle()
        since_s = self.delta.waiting_since()
        if since_s is None and self.is_established() and not self.is_good and now - self.link.opened_s > _QUIET_S:
            self.is_good = True
            self.answered("")
        if since_s is not None and not self.delta.answered and now - since_s > SILENCE_S:
            self.link.call.end(f"it has answered nothing for {SILENCE_S:g} s")

    def _speak(self, now: float) -> None:
        call = self.link.call
        if not call.is_writable():
            return
        for request in self.delta.requests(now):
            call.send_message(encode_request(request, self.node))
            self.node = None


async def wait(news: asyncio.Event, timeout_s: float) -> None:
    """For news, or until it is time to look at the clock."""
    try:
        async with asyncio.timeout(timeout_s):
            await news.wait()
    except TimeoutError:
        return
    news.clear()
