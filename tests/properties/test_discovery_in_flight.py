"""Requests and responses cross on the wire, and clients forget what they give up: in the end they have what they want.

In state-of-the-world a request that crosses a response is not heeded, which is where a resource could get lost.
"""

from __future__ import annotations

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.discovery.bounds import Bounds
from controlplane.discovery.stream import Push, Stream
from controlplane.translate.resource import CDS, EDS
from tests.unit.controlplane.discovery.table import ENVOY_NODE, SIDECAR_NODE, DeltaClient, Exchange, SotwClient, Table

NAMES = ("a", "b")
TYPES = (CDS, EDS)
types, names = st.sampled_from(TYPES), st.sampled_from(NAMES)
put = st.tuples(st.just("put"), types, names, st.sampled_from("123"))
remove = st.tuples(st.just("remove"), types, names)
toggle = st.tuples(st.sampled_from(["toggle", "rethink"]), types, names)
move = st.sampled_from([("serve",), ("push",), ("hear", True), ("hear", False), ("wait", 0.1), ("settle",)])
cross = st.tuples(st.just("cross"), types, names, st.sampled_from("123"))
steps = st.lists(st.one_of(put, remove, toggle, toggle, move, move, cross), max_size=12)


class Wire:
    """In place of the stream that a client speaks to: what it says arrives later."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.up: deque[bytes] = deque()
        self.down: deque[Push] = deque()

    def receive(self, data: bytes) -> None:
        self.up.append(data)


class Play:
    def __init__(self, sotw: bool, envoy: bool, response_bytes: int) -> None:
        self.table, self.now = Table(), 0.0
        self.exchange = Exchange(self.table, Bounds(response_bytes=response_bytes), bytes_per_s=1000)
        node = ENVOY_NODE if envoy else SIDECAR_NODE
        self.client = SotwClient(self.exchange, node) if sotw else DeltaClient(self.exchange, node)
        self.wire = Wire(self.client.stream)
        self.client.stream = self.wire  # type: ignore[assignment]
        self.wanted: dict[str, set[str]] = {type_url: set() for type_url in TYPES}
        for type_url in TYPES:
            for name in NAMES:
                self.table.put(type_url, name, "0")
                self.toggle(type_url, name)
        self.settle()

    def put(self, type_url: str, name: str, content: str) -> None:
        self.exchange.announce([self.table.put(type_url, name, content)], self.now)

    def remove(self, type_url: str, name: str) -> None:
        self.exchange.announce([self.table.remove(type_url, name)], self.now)

    def wait(self, delay_s: float) -> None:
        self.now += delay_s
        self.exchange.release(self.now)

    def toggle(self, type_url: str, name: str) -> None:
        """Ask for the name, or give it up and forget what there was of it."""
        wanted = self.wanted[type_url]
        wanted ^= {name}
        if isinstance(self.client, SotwClient):
            self.client.send(type_url, sorted(wanted))
        else:
            assert isinstance(self.client, DeltaClient)
            self.client.send(type_url, {name} & wanted, {name} - wanted)
        self.forget(type_url)

    def rethink(self, type_url: str, name: str) -> None:
        self.toggle(type_url, name)
        self.toggle(type_url, name)

    def cross(self, type_url: str, name: str, content: str) -> None:
        """A response is under way while the client changes its mind twice."""
        self.put(type_url, name, content)
        self.push()
        self.rethink(type_url, NAMES[name == NAMES[0]])

    def forget(self, type_url: str) -> None:
        held = self.client.held.setdefault(type_url, {})
        for name in held.keys() - self.wanted[type_url]:
            del held[name]

    def serve(self) -> None:
        if self.wire.up:
            self.wire.stream.receive(self.wire.up.popleft())

    def push(self) -> None:
        self.wire.down.extend(self.wire.stream.take(self.now))

    def hear(self, accepts: bool) -> None:
        if self.wire.down:
            reply = self.client.read(self.wire.down.popleft())
            self.forget(reply.type_url)
            self.client.unacked.append(reply)
            self.client.ack(reply, "" if accepts else "no")

    def settle(self) -> None:
        """All that is on the wire arrives, and what follows from it."""
        for _ in range(4):
            while self.wire.up:
                self.serve()
            self.push()
            while self.wire.down:
                self.hear(True)

    def finish(self) -> None:
        for _ in range(8):
            self.wait(10.0)
            self.settle()
        assert not self.wire.up, "it never comes to rest"


@settings(max_examples=400, deadline=None)
@given(steps=steps, sotw=st.booleans(), envoy=st.booleans(), response_bytes=st.sampled_from([40, 10**6]))
def test_what_crosses_on_the_wire_is_not_lost(
    steps: list[tuple[object, ...]], sotw: bool, envoy: bool, response_bytes: int
) -> None:
    play = Play(sotw, envoy, response_bytes)
    for action, *arguments in steps:
        getattr(play, str(action))(*arguments)
    play.finish()
    for type_url in TYPES:
        resources = {name: play.table.resources.get((type_url, name)) for name in play.wanted[type_url]}
        expected = {name: resource.version for name, resource in resources.items() if resource}
        held = play.client.held.get(type_url, {})
        if sotw and type_url != CDS:
            held = {name: version for name, version in held.items() if name in expected}  # absence means nothing here
        assert held == expected
