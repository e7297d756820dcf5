"""Conversations as bytes: made once by voices that know the protocol, then played back whole, chopped or damaged."""

from __future__ import annotations

import random

from hyperframe.exceptions import InvalidDataError, InvalidFrameError
from hyperframe.frame import Frame, GoAwayFrame

from proxy.relay.downstream import Downstream
from proxy.relay.upstream import Upstream
from tests.playbook.stage import Stage, Wire
from tests.playbook.voice import GET_REQUEST, GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE, OK, PREFACE, Headers, Voice

# Which wire (0 is the client's, 1 and 2 the endpoints'), and what its peer says.
Recording = list[tuple[int, bytes]]


class Tape:
    """A voice that says nothing and keeps all it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def hear(self, data: bytes) -> list[bytes]:
        self.heard.append(data)
        return [data]


class Recorder:
    """Does random things that the protocol allows, one a step, and writes down what the peers said."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.stage = Stage(2)
        self.down = self.stage.client()
        self.ups = self.stage.connect_all()
        opening = Voice(True).opening(), Voice(False).opening(), Voice(False).opening()
        self.recording: Recording = list(enumerate(opening))
        self.half_open: list[int] = []

    def say(self, wire: Wire, data: bytes) -> None:
        if not wire.lost:
            self.recording.append(([self.down, *self.ups].index(wire), data))
            wire.feed(data)

    def step(self) -> None:
        self.rng.choice([self.ask, self.ask, self.upload, self.answer, self.answer, self.control, self.leave])()

    def ask(self) -> None:
        voice = self.down.voice
        stream_id = voice.next_id
        voice.next_id += 2
        end = self.rng.random() < 0.5
        pairs: Headers = [*self.rng.choice([GRPC_REQUEST, GET_REQUEST]), ("x", "y" * self.rng.choice([1, 50, 3_000]))]
        if not end:
            self.half_open.append(stream_id)
        self.say(self.down, voice.headers(stream_id, pairs, end, step=self.rng.choice([5, 1_000, 16_384])))

    def upload(self) -> None:
        if self.half_open and not self.down.lost:
            stream_id = self.rng.choice(self.half_open)
            if stream_id in self.down.conn.streams and self.down.voice.own_window(stream_id) > 5_000:
                end = self.rng.random() < 0.3
                data = b"u" * self.rng.choice([0, 1, 1_000])
                self.say(self.down, self.down.voice.data(stream_id, data, end, self.rng.choice([-1, 0, 30])))
                if end:
                    self.half_open.remove(stream_id)

    def answer(self) -> None:
        wire = self.rng.choice(self.ups)
        streams = [stream for stream in wire.conn.streams.values() if stream.recv_state != 2]
        if streams:
            stream = self.rng.choice(streams)
            voice = wire.voice
            if stream.recv_state == 0:
                pairs = self.rng.choice([GRPC_RESPONSE, OK, [(":status", "103")]])
                self.say(wire, voice.headers(stream.id, pairs))
            elif voice.own_window(stream.id) > 5_000 and self.rng.random() < 0.6:
                self.say(wire, voice.data(stream.id, b"d" * self.rng.choice([0, 10, 4_000]), self.rng.random() < 0.2))
            else:
                self.say(wire, voice.headers(stream.id, GRPC_OK, end=True))

    def control(self) -> None:
        wire = self.rng.choice([self.down, *self.ups])
        voice = wire.voice
        way = self.rng.randrange(3)
        if way == 0:
            self.say(wire, voice.ping())
        elif way == 1:
            self.say(wire, voice.settings({4: self.rng.choice([0, 100, 65_535, 200_000])}))
        else:
            self.say(wire, voice.window(0, 1_000))

    def leave(self) -> None:
        wire = self.rng.choice([self.down, *self.ups])
        if wire.conn.streams and self.rng.random() < 0.5:
            self.say(wire, wire.voice.rst(self.rng.choice(list(wire.conn.streams)), self.rng.choice([7, 8, 0])))
        elif wire is not self.down and self.rng.random() < 0.1:
            self.say(wire, wire.voice.goaway(self.rng.choice([0, 1, 5, 2**31 - 1])))


def record(seed: int, steps: int) -> Recording:
    recorder = Recorder(seed)
    for _ in range(steps):
        recorder.step()
    return recorder.recording


def play(recording: Recording) -> list[bytes]:
    """Play it to a fresh proxy, check how each connection ended, and return what the proxy said on each."""
    stage = Stage(2)
    tapes = [Tape(), Tape(), Tape()]
    down = Wire(stage, Downstream(stage.relay, stage.limits, stage.now), tapes[0])
    stage.downs.append(down)
    for tape, link in zip(tapes[1:], stage.dialled, strict=True):
        stage.ups.append(Wire(stage, Upstream(stage.relay, link, stage.limits, stage.now), tape))
    stage.flush()
    wires = [down, *stage.ups]
    for wire, data in recording:
        wires[wire].feed(data)
    for wire, tape in zip(wires, tapes, strict=True):
        check_output(wire, b"".join(tape.heard))
    output = [b"".join(tape.heard) for tape in tapes]
    stage.advance(4)
    stage.finish()
    return output


def check_output(wire: Wire, output: bytes) -> None:
    """What the proxy says are whole frames, and a fault is told with a code before the end."""
    output = output.removeprefix(PREFACE)
    frames: list[Frame] = []
    while output:
        frame, length = Frame.parse_frame_header(memoryview(output[:9]))
        try:
            frame.parse_body(memoryview(output[9 : 9 + length]))
        except (InvalidDataError, InvalidFrameError) as fault:
            raise AssertionError(f"the proxy said {output[:40]!r}") from fault
        assert len(output) >= 9 + length
        frames.append(frame)
        output = output[9 + length :]
    if wire.lost and wire.conn.fault:
        last = next(frame for frame in reversed(frames) if isinstance(frame, GoAwayFrame))
        assert last.error_code > 0
