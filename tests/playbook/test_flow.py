"""Scripts of flow control: end to end, and no stream at another's cost (DESIGN 3.2, RFC 9113, sections 5.2 and 6.9)."""

from __future__ import annotations

import pytest

from proxy.codec.limits import DEFAULT_LIMITS, Limits
from tests.playbook.conftest import MakeStage
from tests.playbook.stage import Stage, Wire
from tests.playbook.voice import GET_REQUEST, GRPC_OK, GRPC_RESPONSE, OK

INITIAL_WINDOW_SIZE = 4
CHUNK = 16_384
WINDOW_BYTES = DEFAULT_LIMITS.stream_window_bytes


def say_all(wire: Wire, stream_id: int, chunk_bytes: int = CHUNK) -> int:
    """Send until a window is used up; how many bytes that took."""
    voice = wire.voice
    sent = 0
    while True:
        size = min(chunk_bytes, voice.own_window(stream_id), voice.own_conn_window)
        if size <= 0:
            break
        wire.feed(voice.data(stream_id, b"d" * size))
        sent += size
        assert sent < 64 * 2**20
    return sent


def buffered(wire: Wire) -> int:
    """The bytes that wait in the streams of a connection."""
    return sum(len(chunk) for stream in wire.conn.streams.values() for chunk in stream.queue or ())


def take_all(down: Wire, stream_id: int) -> int:
    """Consume what has come of a stream, and credit the proxy for it, until nothing more comes."""
    taken = 0
    while size := len(down.body(stream_id)):
        taken += size
        down.heard.clear()
        down.feed(down.voice.window(stream_id, size) + down.voice.window(0, size))
    return taken


@pytest.mark.parametrize("settings", [{INITIAL_WINDOW_SIZE: 0}, {}])
def test_99_stalled_streams_and_a_fast_one_on_one_connection(make_stage: MakeStage, settings: dict[int, int]) -> None:
    stage = make_stage(1)
    up = stage.connect(stage.dialled[0])
    stalled = [stage.client(settings) for _ in range(99)]
    for down in stalled:
        _, there = stage.where(down, stage.request(down))
        up.feed(up.voice.headers(there, OK))
        assert 0 < say_all(up, there) < 4 * WINDOW_BYTES
    waiting = sum(buffered(down) for down in stalled)
    growth = 0 if settings else DEFAULT_LIMITS.growth_bytes
    assert 99 * WINDOW_BYTES // 4 < waiting <= 99 * WINDOW_BYTES + growth
    fast = stage.client()
    one = stage.request(fast)
    _, there = stage.where(fast, one)
    up.feed(up.voice.headers(there, OK))
    for _ in range(100):
        sent = say_all(up, there)
        assert sent > WINDOW_BYTES // 2, "the fast stream came to a halt"
        assert take_all(fast, one) == sent
    assert sum(buffered(down) for down in stalled) == waiting
    up.feed(up.voice.data(there, b"", end=True))
    assert one in fast.voice.ended


@pytest.mark.parametrize("upload", [True, False])
def test_a_reader_that_stalls_holds_one_window_and_the_connection_none(stage: Stage, upload: bool) -> None:
    down = stage.client({INITIAL_WINDOW_SIZE: 0})
    one = stage.request(down, GET_REQUEST, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.settings({INITIAL_WINDOW_SIZE: 0}) + up.voice.headers(there, OK))
    sender, sending, receiver = (down, one, up) if upload else (up, there, down)
    assert say_all(sender, sending) == WINDOW_BYTES
    assert buffered(receiver) == WINDOW_BYTES
    assert sender.voice.own_window(sending) == 0
    assert sender.voice.own_conn_window > WINDOW_BYTES
    assert not sender.hear("WINDOW_UPDATE", sending)


@pytest.mark.parametrize("upload", [True, False])
@pytest.mark.parametrize("chunk_bytes", [1, 1_000, CHUNK])
def test_a_fast_reader_never_stalls_and_is_trusted_with_a_larger_window(
    stage: Stage, upload: bool, chunk_bytes: int
) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, OK))
    sender, sending, receiver, receiving = (down, one, up, there) if upload else (up, there, down, one)
    receiver.feed(receiver.voice.window(0, 2**30) + receiver.voice.window(receiving, 2**30))
    for _ in range(300):
        assert min(sender.voice.own_window(sending), sender.voice.own_conn_window) >= chunk_bytes
        sender.feed(sender.voice.data(sending, b"d" * chunk_bytes))
    assert buffered(receiver) == 0
    stream = sender.conn.streams[sending]
    assert stream.recv_window + stream.uncredited == stream.window_target
    assert (stream.window_target > WINDOW_BYTES) == (chunk_bytes > 1)
    assert stream.window_target <= DEFAULT_LIMITS.max_stream_window_bytes


def test_padding_is_credited(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST, end=False)
    for _ in range(3_000):
        assert min(down.voice.own_window(one), down.voice.own_conn_window) > 260
        down.feed(down.voice.data(one, b"p", pad=255))
    up, there = stage.where(down, one)
    assert up.body(there) == b"p" * 3_000


def test_growth_has_a_bound_for_the_whole_connection(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    up = stage.connect(stage.dialled[0])
    up.feed(up.voice.window(0, 2**30))
    down = stage.client()
    ids = [stage.request(down, GET_REQUEST, end=False) for _ in range(20)]
    for stream_id in ids:
        _, there = stage.where(down, stream_id)
        up.feed(up.voice.window(there, 2**29))
        for _ in range(200):
            down.feed(down.voice.data(stream_id, b"d" * CHUNK))
    targets = [down.conn.streams[stream_id].window_target for stream_id in ids]
    assert sum(target - WINDOW_BYTES for target in targets) == down.conn.grown <= DEFAULT_LIMITS.growth_bytes
    for stream_id in ids:
        down.feed(down.voice.rst(stream_id))
    assert down.conn.grown == 0


def test_small_connection_windows_are_shared_in_turn(stage: Stage) -> None:
    down = stage.client({INITIAL_WINDOW_SIZE: 2**20})
    ids = [stage.request(down, GET_REQUEST) for _ in range(5)]
    for stream_id in ids:
        up, there = stage.where(down, stream_id)
        up.feed(up.voice.headers(there, OK))
        for _ in range(4):
            up.feed(up.voice.data(there, b"d" * CHUNK))
    before = {stream_id: len(down.body(stream_id)) for stream_id in ids}
    for _ in range(20):
        down.feed(down.voice.window(0, 1_000))
    gained = {stream_id: len(down.body(stream_id)) - before[stream_id] for stream_id in ids}
    waiting = [gained[stream_id] for stream_id in ids if before[stream_id] < 3 * CHUNK]
    assert len(waiting) > 1
    assert max(waiting) - min(waiting) <= 1_000


def test_an_empty_end_needs_no_window(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, OK) + up.voice.data(there, b"x" * 1_000))
    down.feed(down.voice.settings({INITIAL_WINDOW_SIZE: 0}))
    assert down.conn.streams[one].send_window == -1_000
    up.feed(up.voice.data(there, b"", end=True))
    assert one in down.voice.ended
    stage.check_idle()


def test_windows_below_zero_come_back(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, OK) + up.voice.data(there, b"a" * 1_000))
    down.feed(down.voice.settings({INITIAL_WINDOW_SIZE: 10}))
    up.feed(up.voice.data(there, b"b" * 100))
    assert len(down.body(one)) == 1_000
    down.feed(down.voice.window(one, 990))
    assert len(down.body(one)) == 1_000
    down.feed(down.voice.window(one, 1))
    assert len(down.body(one)) == 1_001
    down.feed(down.voice.settings({INITIAL_WINDOW_SIZE: 9}))
    down.feed(down.voice.settings({INITIAL_WINDOW_SIZE: 60}))
    assert len(down.body(one)) == 1_051
    down.feed(down.voice.settings({INITIAL_WINDOW_SIZE: 2**31 - 1 - 60}))
    assert len(down.body(one)) == 1_100
    up.feed(up.voice.headers(there, GRPC_OK, end=True))
    stage.check_idle()


def test_a_socket_that_takes_nothing_holds_the_bodies_back(stage: Stage) -> None:
    down = stage.client({INITIAL_WINDOW_SIZE: 2**30})
    down.feed(down.voice.window(0, 2**30))
    ids = [stage.request(down, GET_REQUEST) for _ in range(20)]
    down.stall()
    for stream_id in ids:
        up, there = stage.where(down, stream_id)
        up.feed(up.voice.headers(there, OK))
        say_all(up, there)
    assert down.conn.blocked
    assert len(down.unread) < 600 * 1024
    assert buffered(down) <= 20 * WINDOW_BYTES + 2 * DEFAULT_LIMITS.growth_bytes
    down.resume()
    assert not down.conn.blocked
    for stream_id in ids:
        up, there = stage.where(down, stream_id)
        up.feed(up.voice.data(there, b"", end=True))
        assert stream_id in down.voice.ended
    stage.check_idle()


def test_an_overrun_of_a_stream_ends_the_stream(stage: Stage) -> None:
    down = stage.client()
    up = stage.ups[0]
    up.feed(up.voice.settings({INITIAL_WINDOW_SIZE: 0}))
    stage.ups[1].feed(stage.ups[1].voice.settings({INITIAL_WINDOW_SIZE: 0}))
    one, two = stage.request(down, GET_REQUEST, end=False), stage.request(down, GET_REQUEST, end=False)
    say_all(down, one)
    down.feed(down.voice.data(one, b"x"))
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [3]
    assert not down.lost
    down.feed(down.voice.data(two, b"fine"))
    assert two in down.conn.streams


def test_an_overrun_of_the_connection_ends_it(make_stage: MakeStage) -> None:
    stage = make_stage(1, Limits(connection_window_bytes=65_536 * 2))
    stage.connect_all()
    down = stage.client()
    one = stage.request(down, GET_REQUEST, end=False)
    flood = b"".join(down.voice.data(one, b"x" * CHUNK) for _ in range(30))
    down.feed(flood)
    assert [heard.code for heard in down.hear("GOAWAY") + down.hear("RST_STREAM")][:1] == [3]


def test_a_stream_that_is_cancelled_while_it_waits_leaves_nothing(stage: Stage) -> None:
    down = stage.client({INITIAL_WINDOW_SIZE: 0})
    ids = [stage.request(down) for _ in range(10)]
    for stream_id in ids:
        up, there = stage.where(down, stream_id)
        voice = up.voice
        up.feed(
            voice.headers(there, GRPC_RESPONSE) + voice.data(there, b"x" * 99) + voice.headers(there, GRPC_OK, end=True)
        )
    assert stage.pending() == [0, 0]
    assert len(down.conn.waiting) == 10
    for stream_id in ids[:5]:
        down.feed(down.voice.rst(stream_id))
    down.feed(down.voice.settings({INITIAL_WINDOW_SIZE: 100}))
    assert [len(down.body(stream_id)) for stream_id in ids] == [0] * 5 + [99] * 5
    stage.check_idle()
