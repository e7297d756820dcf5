"""The HTTP/2 data path held against the `h2` library on both of its sides, against chunking, and against garbage."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.codec.limits import Limits
from proxy.relay.downstream import Downstream
from proxy.relay.upstream import Upstream
from tests.playbook.chaos import run
from tests.playbook.mutation import mutate
from tests.playbook.oracle import Message, Oracle, Pairs
from tests.playbook.recording import play, record
from tests.playbook.stage import Stage, Wire

HEAD: Pairs = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/echo.Echo/Get"), (b":authority", b"echo")]
OK: Pairs = [(b":status", b"200")]
GRPC: Pairs = [(b"content-type", b"application/grpc")]
STATUS: Pairs = [(b"grpc-status", b"0")]

NAMES = st.sampled_from([b"x-a", b"x-b", b"traceparent", b"grpc-encoding", b"custom-bin"])
VALUES = st.sampled_from([b"", b"1", b"value", b"v" * 300, b"w" * 9_000]) | st.text(
    "abcdefghij0123456789-_.", max_size=40
).map(str.encode)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=5)
BODIES = st.sampled_from([0, 1, 5, 1_000, 16_384, 16_385, 70_000, 200_000])
MESSAGES = st.tuples(FIELDS, BODIES, FIELDS)
EXCHANGES = st.lists(st.tuples(MESSAGES, MESSAGES), min_size=1, max_size=6)
WINDOWS = st.lists(st.sampled_from([0, 1, 10, 1_000, 65_535, 100_000, 1_000_000]), max_size=6)
SEEDS = st.integers(0, 2**32)


def make_body(size: int, seed: int) -> bytes:
    return bytes(random.Random(seed).randbytes(min(size, 997))) * (size // 997 + 1) if size else b""


def make_message(plan: tuple[Pairs, int, Pairs], head: Pairs, last: Pairs, seed: int) -> Message:
    fields, size, trailers = plan
    return Message(
        [*head, *GRPC, *fields], make_body(size, seed)[:size], [*last, *trailers] if last or trailers else []
    )


class Conversation:
    """A client and a server of the h2 library with the proxy between them, and bytes that move in random pieces."""

    def __init__(self, seed: int, limits: Limits) -> None:
        self.rng = random.Random(seed)
        self.stage = Stage(1, limits)
        link = self.stage.dialled.pop()
        self.client = Oracle(True, self.rng)
        self.server = Oracle(False, self.rng)
        self.up = Wire(self.stage, Upstream(self.stage.relay, link, limits, self.stage.now), self.server)
        self.down = Wire(self.stage, Downstream(self.stage.relay, limits, self.stage.now), self.client)
        self.pipes: list[tuple[Oracle, Wire, bytearray]] = [
            (self.client, self.down, bytearray()),
            (self.server, self.up, bytearray()),
        ]
        self.stage.flush()

    def move(self, everything: bool = False) -> None:
        for oracle, wire, pipe in self.pipes:
            pipe += oracle.outbox()
            size = len(pipe) if everything else self.rng.choice([1, 9, 10, 50, 1_000, 20_000, 100_000])
            data = bytes(pipe[:size])
            del pipe[:size]
            if data:
                wire.feed(data)

    def act(self, responses: dict[int, Message]) -> None:
        """One random thing that a peer may do."""
        side = self.rng.choice([self.client, self.server])
        side.step()
        side.credit()
        for stream_id in [one for one in self.server.received if one in responses]:
            if self.rng.random() < 0.3 or self.server.received[stream_id].ended:
                self.server.start(stream_id, responses.pop(stream_id))


def check_message(found: Message, sent: Message) -> None:
    assert found.headers == sent.headers
    assert found.body == sent.body
    assert found.trailers == sent.trailers
    assert found.ended


@settings(deadline=None)
@given(EXCHANGES, WINDOWS, WINDOWS, SEEDS, st.sampled_from([65_536, 100_000]))
def test_every_message_is_delivered_exactly(
    plan: list[tuple[Any, Any]], client_windows: list[int], server_windows: list[int], seed: int, window_bytes: int
) -> None:
    talk = Conversation(seed, Limits(stream_window_bytes=window_bytes))
    talk.move(everything=True)
    requests: dict[int, Message] = {}
    responses: dict[int, Message] = {}
    for at, (request, response) in enumerate(plan):
        requests[2 * at + 1] = make_message(request, HEAD, [], seed + at)
        responses[2 * at + 1] = make_message(response, OK, STATUS, seed - at)
    expected = dict(responses)
    for stream_id, message in requests.items():
        talk.client.start(stream_id, message)
    changes = [(talk.client, size) for size in client_windows] + [(talk.server, size) for size in server_windows]
    talk.rng.shuffle(changes)
    for _ in range(3_000):
        talk.act(responses)
        talk.move()
        if changes and talk.rng.random() < 0.05:
            side, size = changes.pop()
            side.resize(size)
        if all(one.ended for one in talk.client.received.values()) and len(talk.client.received) == len(expected):
            break
    # No more surprises: what is left must come, with windows that are open.
    for side in (talk.client, talk.server):
        side.resize(1_000_000)
    for _ in range(3_000):
        if not (responses or talk.client.sending or talk.server.sending):
            break
        for _ in range(8):
            talk.act(responses)
        talk.move(everything=True)
    talk.move(everything=True)
    for _ in range(2_000):
        for side in (talk.client, talk.server):
            side.credit()
        talk.move(everything=True)
    assert not talk.client.resets
    assert not talk.server.resets
    for stream_id, message in requests.items():
        check_message(talk.server.received[stream_id], message)
        check_message(talk.client.received[stream_id], expected[stream_id])
    talk.stage.check_idle()


@settings(deadline=None)
@given(SEEDS, st.integers(5, 60), st.sampled_from([1, 2, 3, 9, 10, 64, 1_000]))
def test_any_chunking_gives_the_same_output(seed: int, steps: int, most: int) -> None:
    recording = record(seed, steps)
    rng = random.Random(seed)
    whole = play(recording)
    chopped = play([(wire, piece) for wire, data in recording for piece in chop(data, rng, most)])
    assert chopped == whole


def chop(data: bytes, rng: random.Random, most: int) -> list[bytes]:
    pieces = []
    while data:
        size = rng.randint(1, most)
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@settings(deadline=None)
@given(SEEDS, st.integers(1, 40), st.integers(1, 4))
def test_mutated_conversations_end_in_a_code_or_go_on(seed: int, steps: int, mutations: int) -> None:
    rng = random.Random(seed)
    recording = record(seed, steps)
    for _ in range(mutations):
        at = rng.randrange(len(recording))
        wire, data = recording[at]
        recording[at] = wire, mutate(data, rng)
    play(recording)


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans())
@example(b"DELETE ", False)
def test_garbage_ends_in_a_code_or_waits_for_more(garbage: bytes, opened: bool) -> None:
    recording = record(1, 1) if opened else []
    play([*recording, (0, garbage), (1, garbage)])


@settings(deadline=None)
@given(SEEDS, st.sampled_from([20, 100, 300]))
def test_chaos_leaves_the_books_even(seed: int, steps: int) -> None:
    run(seed, steps)
