"""Attacks of a client by what it says: resets, header blocks, control frames (DESIGN 3.6)."""

from __future__ import annotations

import pytest

from tests.abuse.attacker import Attacker, encode_block
from tests.abuse.scene import Scene
from tests.e2e.wire import (
    ACK,
    CONTINUATION,
    DATA,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    encode_frame,
)

PROTOCOL_ERROR, STREAM_CLOSED, ENHANCE_YOUR_CALM = 1, 5, 11
CANCEL = (8).to_bytes(4, "big")


def test_rapid_reset(scene: Scene) -> None:
    """CVE-2023-44487."""
    with scene.attacked("rapid reset") as faults, Attacker(scene.proxy.address) as attacker:
        for _ in range(1_000):
            frames = attacker.headers()
            frames += encode_frame(RST_STREAM, 0, attacker.last_stream, CANCEL)
            attacker.attempt(frames)
        attacker.wait_ended()
        assert attacker.goaway_code == ENHANCE_YOUR_CALM
    assert faults["downstream", "rapid reset"] == 1


def made_you_reset(way: str, stream: int) -> bytes:
    """What makes the proxy reset a stream that is open."""
    return {
        "zero update": encode_frame(WINDOW_UPDATE, 0, stream, bytes(4)),
        "overflow": encode_frame(WINDOW_UPDATE, 0, stream, b"\x7f\xff\xff\xff"),
        "half-closed": encode_frame(DATA, END_STREAM, stream) + encode_frame(DATA, 0, stream, b"x"),
        "priority on itself": encode_frame(PRIORITY, 0, stream, stream.to_bytes(4, "big") + b"\0"),
        "priority of a wrong size": encode_frame(PRIORITY, 0, stream, b"123"),
        "body above content-length": encode_frame(DATA, 0, stream, b"123456"),
        "trailers without an end": encode_block(stream, b"", end=False),
    }[way]


@pytest.mark.parametrize(
    "way",
    [
        "zero update",
        "overflow",
        "half-closed",
        "priority on itself",
        "priority of a wrong size",
        "body above content-length",
        "trailers without an end",
    ],
)
def test_made_you_reset(scene: Scene, way: str) -> None:
    """CVE-2025-8671: the resets are ours, the work for the endpoints is the same."""
    with scene.attacked(f"MadeYouReset, {way}") as faults, Attacker(scene.proxy.address) as attacker:
        length = [("content-length", "5")] if way == "body above content-length" else []
        for _ in range(1_200):
            frames = attacker.headers(end=False, more=length)
            attacker.attempt(frames + made_you_reset(way, attacker.last_stream))
        attacker.wait_ended()
        # What was refused is closed for good, so more than one frame for it is a fault of the connection.
        way_out = STREAM_CLOSED if way == "half-closed" else ENHANCE_YOUR_CALM
        assert attacker.goaway_code == way_out
    assert faults["downstream", "frame on a closed stream" if way == "half-closed" else "rapid reset"] == 1


# ---- header blocks


@pytest.mark.parametrize("step", [0, 1, 16_384])
def test_continuation_flood(scene: Scene, step: int) -> None:
    """CVE-2024-27316: a block without an end, in frames of `step` bytes."""
    with scene.attacked(f"CONTINUATION of {step} bytes") as faults, Attacker(scene.proxy.address) as attacker:
        attacker.attempt(encode_frame(HEADERS, 0, 1, b"\x82"))
        attacker.flood(encode_frame(CONTINUATION, 0, 1, b"\x86" * step) * 100, 5.0)
        attacker.wait_ended()
        assert attacker.goaway_code == ENHANCE_YOUR_CALM
    assert faults == {("downstream", "header block too large"): 1}


def test_hpack_bomb_of_the_table(scene: Scene) -> None:
    """One field of 3.9 KB in the table, and blocks that name it 15 times: 15 bytes that stand for 60 KB."""
    head = b"\x83\x86\x04\x0e/e2e.Echo/wait\x01\x06honest\x0f\x10\x10application/grpc"
    bomb = b"\x40\x04bomb\x7f" + encode_length(3_900) + b"b" * 3_900
    before = scene.count_failures().get("headers-too-large", 0)
    with scene.attacked("HPACK bomb, table") as faults, Attacker(scene.proxy.address) as attacker:
        attacker.say(encode_block(1, head + bomb, end=True))
        attacker.say(b"".join(encode_block(number, head + b"\xbe" * 15, end=True) for number in range(3, 103, 2)))
        while scene.count_failures().get("headers-too-large", 0) < before + 50:
            attacker.hear(0.05)
        assert not attacker.ended
        # And one that is not worth to be read to its end.
        attacker.say(encode_block(103, head + b"\xbe" * 15_000, end=True))
        attacker.wait_ended()
        assert attacker.goaway_code == ENHANCE_YOUR_CALM
    assert faults == {("downstream", "header block of too many fields"): 1}


@pytest.mark.parametrize("huffman", [False, True])
def test_hpack_bomb_of_literals(scene: Scene, huffman: bool) -> None:
    """200 KB of literals a request; packed, five bits are a letter."""
    with scene.attacked(f"HPACK bomb, literals{' packed' * huffman}"), Attacker(scene.proxy.address) as attacker:
        size = 6_000
        value = b"\x00" * (size * 5 // 8) if huffman else b"0" * size
        literal = b"\x10\x01x" + (b"\xff" if huffman else b"\x7f") + encode_length(len(value)) + value
        for _ in range(20):
            head = attacker.headers("unary")
            block = head[9:] + literal * 30
            attacker.say(encode_block(attacker.last_stream, block, end=True))
        while len([frame for frame in attacker.frames if frame.kind == HEADERS]) < 20:
            assert not attacker.ended
            attacker.hear(0.1)
    assert scene.count_failures()["headers-too-large"] >= 20


def encode_length(size: int) -> bytes:
    """RFC 7541, section 5.1, after a prefix of seven bits."""
    size -= 0x7F
    out = b""
    while size >= 0x80:
        out += bytes((size & 0x7F | 0x80,))
        size >>= 7
    return out + bytes((size,))


def test_trailers_that_are_too_large(scene: Scene) -> None:
    with scene.attacked("trailers of 200 KB") as faults, Attacker(scene.proxy.address) as attacker:
        literal = b"\x10\x01x\x7f" + encode_length(6_000) + b"0" * 6_000
        for _ in range(20):
            attacker.say(attacker.headers("collect", end=False))
            attacker.say(encode_block(attacker.last_stream, literal * 30, end=True))
        while len(attacker.reset_codes) < 20:
            assert not attacker.ended
            attacker.hear(0.1)
        assert set(attacker.reset_codes) == {PROTOCOL_ERROR}
    assert faults == {("downstream", "trailers too large"): 20}


def test_trailers_again_and_again(scene: Scene) -> None:
    with scene.attacked("trailers twice") as faults, Attacker(scene.proxy.address) as attacker:
        trailers = encode_block(1, b"\x10\x01x\x01y", end=True)
        attacker.flood(attacker.headers("wait", end=False) + trailers * 10)
        attacker.wait_ended()
        assert attacker.goaway_code == STREAM_CLOSED
    assert faults == {
        ("downstream", "HEADERS on a half-closed stream"): 1,
        ("downstream", "frame on a closed stream"): 1,
    }


# ---- frames that cost nothing to send

FLOODS = {
    "PING": (encode_frame(PING, 0, 0, b"12345678"), "frames that lead to nothing", "control frames flood"),
    "PING ACK": (encode_frame(PING, ACK, 0, b"12345678"), "frames that lead to nothing", ""),
    "SETTINGS": (encode_frame(SETTINGS), "SETTINGS flood", "SETTINGS flood"),
    "SETTINGS ACK": (encode_frame(SETTINGS, ACK), "frames that lead to nothing", ""),
    "PRIORITY": (encode_frame(PRIORITY, 0, 1, b"\0\0\0\5\1"), "PRIORITY flood", ""),
    "WINDOW_UPDATE": (encode_frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"), "WINDOW_UPDATE flood", ""),
    "WINDOW_UPDATE of a stream": (encode_frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"), "WINDOW_UPDATE flood", ""),
    "empty DATA": (encode_frame(DATA, 0, 1), "empty frames flood", ""),
    "padded DATA": (encode_frame(DATA, 8, 1, b"\1\0"), "empty frames flood", ""),
    "unknown frames": (encode_frame(0xBE, 0xFF, 1, b""), "frames that lead to nothing", ""),
    "GOAWAY": (encode_frame(GOAWAY, 0, 0, bytes(8)), "frames that lead to nothing", ""),
}


@pytest.mark.parametrize("kind", FLOODS)
def test_flood(scene: Scene, kind: str) -> None:
    frame, reason, _ = FLOODS[kind]
    with scene.attacked(f"{kind} flood") as faults, Attacker(scene.proxy.address) as attacker:
        attacker.say(attacker.headers("collect", end=False))
        attacker.flood(frame * 500, 5.0)
        attacker.wait_ended()
        assert attacker.goaway_code == ENHANCE_YOUR_CALM
    assert faults == {("downstream", reason): 1}


@pytest.mark.parametrize("kind", [kind for kind, (_, _, unread) in FLOODS.items() if unread])
def test_flood_of_a_client_that_does_not_read_the_answers(scene: Scene, kind: str) -> None:
    frame, reason, unread = FLOODS[kind]
    with scene.attacked(f"{kind} flood, answers unread") as faults, Attacker(scene.proxy.address) as attacker:
        attacker.flood(frame * 500, 5.0, reads=False)
        attacker.wait_ended()
    assert len(faults) == 1
    assert set(faults) <= {("downstream", reason), ("downstream", unread)}


def test_resets_of_closed_streams(scene: Scene) -> None:
    with scene.attacked("RST_STREAM of closed streams") as faults, Attacker(scene.proxy.address) as attacker:
        attacker.say(attacker.headers("collect", end=False))
        attacker.flood(encode_frame(RST_STREAM, 0, 1, CANCEL) * 500, 5.0)
        attacker.wait_ended()
        assert attacker.goaway_code == ENHANCE_YOUR_CALM
    assert faults == {("downstream", "frames that lead to nothing"): 1}


def test_settings_with_many_entries(scene: Scene) -> None:
    with scene.attacked("SETTINGS of 33 entries") as faults, Attacker(scene.proxy.address) as attacker:
        attacker.attempt(encode_frame(SETTINGS, 0, 0, b"\xf0\x00\x00\x00\x00\x01" * 33))
        attacker.wait_ended()
        assert attacker.goaway_code == ENHANCE_YOUR_CALM
    assert faults == {("downstream", "too many settings"): 1}


def test_settings_that_move_all_windows(scene: Scene) -> None:
    """Each SETTINGS changes the windows of 100 streams."""
    with scene.attacked("SETTINGS flood over 100 streams") as faults, Attacker(scene.proxy.address) as attacker:
        attacker.say(b"".join(attacker.headers() for _ in range(100)))
        pairs = b"".join(
            encode_frame(SETTINGS, 0, 0, b"\0" + bytes((INITIAL_WINDOW_SIZE,)) + bytes(3) + bytes((size,)))
            for size in range(100)
        )
        attacker.flood(pairs, 5.0)
        attacker.wait_ended()
        assert attacker.goaway_code == ENHANCE_YOUR_CALM
    assert faults == {("downstream", "SETTINGS flood"): 1}


def test_stream_ids_run_out(scene: Scene) -> None:
    """The last stream id there is, as the first: served, and the connection is drained."""
    with scene.attacked("stream ids run out") as faults, Attacker(scene.proxy.address) as attacker:
        attacker.next_stream = 2**31 - 1
        attacker.say(attacker.headers("unary", end=False))
        attacker.say(encode_frame(DATA, END_STREAM, 2**31 - 1, b"\0\0\0\0\1x"))
        attacker.wait_ended()
        assert attacker.goaway_code == 0
        assert any(frame.kind == DATA and frame.payload == b"\0\0\0\0\1x" for frame in attacker.frames)
    assert faults == {}
