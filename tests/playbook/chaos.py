"""Everything at once: clients and endpoints that do whatever the protocol allows, in any order, and come and go.

The voices fail on what the proxy must not say; `run` checks that the books are even afterwards, whatever happened.
"""

from __future__ import annotations

import random

from proxy.codec.limits import Limits
from tests.playbook.stage import Stage, Wire
from tests.playbook.voice import GET_REQUEST, GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE, OK

OPEN = 1
CLOSED = 2


class Chaos:
    """`step` does one random thing."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        limits = Limits(
            max_concurrent_streams=self.rng.choice([3, 100]),
            growth_bytes=self.rng.choice([0, 100_000, 4 * 2**20]),
            connection_window_bytes=self.rng.choice([70_000, 4 * 2**20]),
        )
        self.stage = Stage(self.rng.randint(1, 4), limits, timeout_s=self.rng.choice([0.0, 0.0, 0.7]))
        self.wires: list[Wire] = []
        for _ in range(self.rng.randint(1, 3)):
            self.wires.append(self.stage.client(self.settings()))

    def settings(self) -> dict[int, int]:
        values: dict[int, int] = {}
        if self.rng.random() < 0.5:
            values[4] = self.rng.choice([0, 1, 500, 65_535, 300_000])
        if self.rng.random() < 0.2:
            values[3] = self.rng.choice([0, 1, 2, 50])
        return values

    def some(self, wires: list[Wire]) -> Wire | None:
        alive = [wire for wire in wires if not wire.lost]
        return self.rng.choice(alive) if alive else None

    def step(self) -> None:
        acts = (
            [self.ask] * 3 + [self.send] * 6 + [self.credit] * 4 + [self.reset, self.control, self.connect, self.pause]
        )
        if self.rng.random() < 0.04:
            acts = [self.leave, self.goaway, self.drain, self.wait, self.arrive]
        self.rng.choice(acts)()

    def ask(self) -> None:
        down = self.some(self.stage.downs)
        if down is not None:
            pairs = self.rng.choice([GRPC_REQUEST, GET_REQUEST, [*GRPC_REQUEST, ("grpc-timeout", "200m")]])
            voice = down.voice
            voice.next_id += 2
            down.feed(voice.headers(voice.next_id - 2, pairs, end=self.rng.random() < 0.4))

    def send(self) -> None:
        """Some peer says the next of some stream that it has not ended."""
        wire = self.some(self.stage.downs + self.stage.ups)
        if wire is None:
            return
        streams = [stream for stream in wire.conn.streams.values() if stream.recv_state != CLOSED]
        if not streams:
            return
        stream = self.rng.choice(streams)
        voice = wire.voice
        end = self.rng.random() < 0.25
        if stream.recv_state != OPEN:
            heads = [GRPC_RESPONSE, OK, [(":status", "503")], [(":status", "100")]]
            head = self.rng.choice(heads)
            wire.feed(voice.headers(stream.id, head, end=end and head is not heads[-1]))
            return
        if end and self.rng.random() < 0.5:
            wire.feed(voice.headers(stream.id, GRPC_OK, end=True))
            return
        pad = self.rng.choice([-1, -1, 0, 90])
        room = min(voice.own_window(stream.id), voice.own_conn_window) - pad - 1
        size = min(self.rng.choice([0, 1, 1_000, 16_000, 16_000]), room)
        if size >= 0:
            wire.feed(voice.data(stream.id, b"d" * size, end, pad))

    def credit(self) -> None:
        wire = self.some(self.stage.downs + self.stage.ups)
        if wire is not None:
            size = self.rng.choice([1, 5_000, 40_000])
            if wire.voice.conn_window < 10**6:
                wire.feed(wire.voice.window(0, size))
            if wire.conn.streams:
                stream_id = self.rng.choice(list(wire.conn.streams))
                wire.feed(wire.voice.window(stream_id, size))

    def reset(self) -> None:
        wire = self.some(self.stage.downs + self.stage.ups)
        if wire is not None and wire.reads and wire.conn.streams:
            wire.feed(wire.voice.rst(self.rng.choice(list(wire.conn.streams)), self.rng.choice([0, 2, 7, 7, 8])))

    def control(self) -> None:
        wire = self.some(self.stage.downs + self.stage.ups)
        if wire is not None and wire.reads:
            wire.feed(wire.voice.ping() if self.rng.random() < 0.3 else wire.voice.settings(self.settings()))

    def connect(self) -> None:
        if self.stage.dialled:
            next_id = self.rng.choice([1, 1, 2**30 - 9, 2**31 - 9])
            self.stage.connect(self.rng.choice(self.stage.dialled), self.settings(), next_id)

    def pause(self) -> None:
        wire = self.some(self.stage.downs + self.stage.ups)
        if wire is not None and wire.reads:
            wire.stall()
            wire.conn.blocked = self.rng.random() < 0.7
        elif wire is not None:
            wire.resume()

    def leave(self) -> None:
        wire = self.some(self.stage.downs + self.stage.ups)
        if wire is not None:
            wire.hang_up()

    def goaway(self) -> None:
        wire = self.some(self.stage.ups)
        if wire is not None:
            ids = [0, 2**31 - 1, *wire.conn.streams]
            wire.feed(wire.voice.goaway(self.rng.choice(ids)))

    def drain(self) -> None:
        wire = self.some(self.stage.downs)
        if wire is not None:
            wire.conn.drain(self.stage.now)
            self.stage.flush()

    def wait(self) -> None:
        self.stage.advance(self.rng.choice([0.1, 0.3, 1.0, 4.0]))

    def arrive(self) -> None:
        self.stage.client(self.settings())


def run(seed: int, steps: int) -> Stage:
    """A seeded chaos; its stage, after all have left."""
    chaos = Chaos(seed)
    for _ in range(steps):
        chaos.step()
    stage = chaos.stage
    for wire in [*stage.downs, *stage.ups]:
        if not wire.reads:
            wire.resume()
    stage.finish()
    assert not [wire.conn.fault for wire in [*stage.downs, *stage.ups] if wire.conn.fault not in ("", "rapid reset")]
    return stage
