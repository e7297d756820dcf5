"""The limits of DESIGN 3.6 under attack: what ends, with which code, and that memory stays bounded meanwhile."""

from __future__ import annotations

import tracemalloc

import pytest

from tests.playbook.stage import Stage, Wire
from tests.playbook.voice import GET_REQUEST, GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE, OK

ENHANCE_YOUR_CALM = 11
MIB = 2**20


def goaway_codes(down: Wire) -> list[int]:
    return [heard.code for heard in down.hear("GOAWAY")]


def refuse_is_honest(stage: Stage, down: Wire, honest: list[int]) -> None:
    """After the GOAWAY the honest streams finish, and only then the connection ends."""
    assert goaway_codes(down) == [ENHANCE_YOUR_CALM]
    for stream_id in honest:
        assert not down.lost
        up, there = stage.where(down, stream_id)
        up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.headers(there, GRPC_OK, end=True))
        assert down.hear("HEADERS", stream_id)[-1].headers == GRPC_OK
    assert down.lost
    assert stage.faults()["downstream", "rapid reset"] == 1
    stage.check_idle()


def test_rapid_reset(stage: Stage) -> None:
    down = stage.client()
    honest = [stage.request(down) for _ in range(3)]
    resets = 0
    while not goaway_codes(down):
        stage.now += 0.01
        stream_id = stage.request(down)
        down.feed(down.voice.rst(stream_id))
        resets += 1
        assert resets <= 501
    assert resets > 400
    # It goes on all the same.
    for _ in range(300):
        down.feed(down.voice.rst(stage.request(down)))
    refuse_is_honest(stage, down, honest)


@pytest.mark.parametrize("way", ["zero update", "malformed headers", "overrun", "length", "overflow"])
def test_made_you_reset(stage: Stage, way: str) -> None:
    down = stage.client()
    honest = [stage.request(down) for _ in range(3)]
    voice = down.voice
    for _ in range(520):
        stage.now += 0.01
        if way == "malformed headers":
            stream_id = stage.request(down, [*GRPC_REQUEST, ("connection", "close")])
        else:
            stream_id = stage.request(down, [*GRPC_REQUEST, ("content-length", "5")], end=False)
        if stream_id not in down.conn.streams:
            continue
        if way == "zero update":
            down.feed(zero_update(stream_id))
        elif way == "overrun":
            down.feed(voice.data(stream_id, b"x" * 6))
        elif way == "length":
            down.feed(voice.data(stream_id, b"x", end=True))
        elif way == "overflow":
            down.feed(voice.window(stream_id, 2**31 - 1))
    assert len(down.hear("RST_STREAM")) > 400
    refuse_is_honest(stage, down, honest)


def zero_update(stream_id: int) -> bytes:
    return b"\x00\x00\x04\x08\x00" + stream_id.to_bytes(4, "big") + bytes(4)


def test_early_resets_do_not_reach_the_endpoints_without_bound(stage: Stage) -> None:
    """100 streams opened and reset at once, again and again: refused above two times the limit within a second."""
    down = stage.client()
    for _ in range(4):
        ids = [stage.request(down) for _ in range(100)]
        for stream_id in ids:
            down.feed(down.voice.rst(stream_id))
    assert sum(len(up.hear("HEADERS")) for up in stage.ups) <= 200
    stage.now += 1.1
    two = stage.request(down)
    assert two in down.conn.streams


def test_ten_thousand_short_calls_close_nothing(stage: Stage) -> None:
    down = stage.client()
    for _ in range(10_000):
        one = stage.request(down)
        up, there = stage.where(down, one)
        stage.now += 0.002
        up.feed(up.voice.headers(there, [*GRPC_RESPONSE, ("grpc-status", "0")], end=True))
        for wire in (down, up):
            wire.voice.heard.clear()
            wire.voice.ended.clear()
    assert not down.lost
    assert not goaway_codes(down)
    assert not any(up.lost for up in stage.ups)
    stage.check_idle()


def test_a_brown_out_closes_nothing(stage: Stage) -> None:
    """Every request runs into its deadline of 50 ms; 20 are under way at a time."""
    down = stage.client()
    for _ in range(100):
        ids = [stage.request(down, [*GRPC_REQUEST, ("grpc-timeout", "50m")]) for _ in range(20)]
        stage.now += 0.05
        for stream_id in ids:
            down.feed(down.voice.rst(stream_id))
    assert not down.hear("RST_STREAM")
    assert not goaway_codes(down)
    stage.check_idle()


def test_streams_that_have_an_answer_may_be_cancelled_at_will(stage: Stage) -> None:
    down = stage.client()
    for _ in range(700):
        one = stage.request(down)
        up, there = stage.where(down, one)
        up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.data(there, b"x"))
        down.feed(down.voice.rst(one))
    assert not goaway_codes(down)
    stage.check_idle()


def test_a_client_that_does_not_know_the_limit_yet_is_only_refused(stage: Stage) -> None:
    down = stage.client()
    for _ in range(1_500):
        stage.request(down)
    assert len(down.hear("RST_STREAM")) == 1_400
    assert {heard.code for heard in down.hear("RST_STREAM")} == {7}
    assert not goaway_codes(down)


# ---- header blocks


@pytest.mark.parametrize("step", [0, 1, 900])
def test_continuation_flood(stage: Stage, step: int) -> None:
    down = stage.client()
    assert not goaway_codes(down)
    tracemalloc.start()
    down.feed(b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x82")
    for _ in range(20_000):
        down.feed(step.to_bytes(3, "big") + b"\x09\x00\x00\x00\x00\x01" + b"\x82" * step)
        if down.lost:
            break
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert goaway_codes(down) == [ENHANCE_YOUR_CALM]
    assert peak < MIB


def test_too_many_fields(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, [*GET_REQUEST, *[("cookie", str(at)) for at in range(200)]])
    assert down.hear("HEADERS", one)[0].header(":status") == "431"
    two = stage.request(down, [*GRPC_REQUEST, *[("cookie", str(at)) for at in range(200)]])
    assert down.hear("HEADERS", two)[0].header("grpc-status") == "8"
    assert not down.lost
    stage.check_idle()


def test_hpack_bomb(stage: Stage) -> None:
    """One field of 4,000 bytes in the table, then a block of references to it: 60 MB if all were believed."""
    down = stage.client()
    stage.request(down, [*GRPC_REQUEST, ("bomb", "b" * 3_900)])
    tracemalloc.start()
    head = b"\x83\x86\x84\x41\x04echo"
    block = head + b"\xbe" * 400
    down.feed(len(block).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x03" + block)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MIB
    assert down.hear("HEADERS", 3)[0].header(":status") == "431"
    assert not goaway_codes(down)
    block = head + b"\xbe" * 15_000
    down.feed(len(block).to_bytes(3, "big") + b"\x01\x05\x00\x00\x00\x05" + block)
    assert goaway_codes(down) == [ENHANCE_YOUR_CALM]


def test_large_settings_are_refused(stage: Stage) -> None:
    down = stage.client()
    down.feed(b"\x00\x00\xc0\x04\x00\x00\x00\x00\x00" + b"\xf0\x00\x00\x00\x00\x01" * 32)
    assert not goaway_codes(down)
    down.feed(b"\x00\x00\xc6\x04\x00\x00\x00\x00\x00" + b"\xf0\x00\x00\x00\x00\x01" * 33)
    assert goaway_codes(down) == [ENHANCE_YOUR_CALM]


# ---- floods of a peer that does not read


def flood(stage: Stage, wire: Wire, frame: bytes, times: int) -> int:
    """Send a frame again and again to a connection whose peer reads nothing; the peak of memory meanwhile."""
    wire.stall()
    tracemalloc.start()
    batch = 500
    for _ in range(times // batch):
        wire.feed(frame * batch)
        if wire.lost:
            break
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    wire.voice.hear(bytes(wire.unread))
    return peak


FLOODS = {
    "PING": b"\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
    "SETTINGS": b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "PRIORITY": b"\x00\x00\x05\x02\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01",
    "WINDOW_UPDATE": b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01",
    "empty DATA": b"\x00\x00\x00\x00\x00\x00\x00\x00\x01",
    "padded DATA": b"\x00\x00\x02\x00\x08\x00\x00\x00\x01\x01\x00",
    "stream WINDOW_UPDATE": b"\x00\x00\x04\x08\x00\x00\x00\x00\x01\x00\x00\x00\x01",
}


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("side", ["downstream", "upstream"])
def test_floods_of_a_peer_that_does_not_read(stage: Stage, kind: str, side: str) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, OK))
    wire = down if side == "downstream" else up
    peak = flood(stage, wire, FLOODS[kind], 200_000)
    assert goaway_codes(wire) == [ENHANCE_YOUR_CALM], kind
    assert wire.lost
    assert peak < 2 * MIB


@pytest.mark.parametrize("kind", ["PRIORITY", "WINDOW_UPDATE", "empty DATA", "padded DATA"])
def test_floods_that_ask_for_no_answer_end_although_the_peer_reads(stage: Stage, kind: str) -> None:
    down = stage.client()
    stage.request(down, GET_REQUEST, end=False)
    for _ in range(30):
        down.feed(FLOODS[kind] * 20)
    assert goaway_codes(down) == [ENHANCE_YOUR_CALM]


def test_requests_of_a_client_that_does_not_read_are_bounded(stage: Stage) -> None:
    """Each is answered with headers only, so each is over at once as far as the proxy sees."""
    down = stage.client()
    voice = down.voice
    nobody = [*GRPC_REQUEST[:3], (":authority", "nobody"), *GRPC_REQUEST[4:]]
    down.feed(voice.headers(1, nobody, end=True))
    voice.next_id = 3
    down.stall()
    tracemalloc.start()
    for _ in range(60):
        batch = b""
        for _ in range(1_000):
            batch += voice.headers(voice.next_id, nobody, end=True)
            voice.next_id += 2
        down.feed(batch)
        if down.lost:
            break
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(down.unread) < 4 * MIB
    assert size < 8 * MIB


def test_header_blocks_for_closed_streams_do_not_grow_anything(stage: Stage) -> None:
    down = stage.client()
    for _ in range(5_000):
        one = stage.request(down, [*GRPC_REQUEST[:3], (":authority", "nobody"), *GRPC_REQUEST[4:]], end=False)
        assert one in down.voice.ended
        stage.now += 0.01
    assert not down.conn.streams
    assert len(down.conn.limbo) <= 1_000
    assert not goaway_codes(down)
