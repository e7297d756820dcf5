"""Who gets an endpoint's last streams, and who its last window (docs/decisions/0014)."""

from __future__ import annotations

import pytest

from tests.playbook.conftest import MakeStage
from tests.playbook.stage import Stage, Wire
from tests.playbook.voice import GET_REQUEST, GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE, Voice

MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_HEADER_LIST_SIZE = 3, 4, 6
CONNECTIONS = 16


def take_all(stage: Stage, clients: int = 20, each: int = 20, end: bool = False) -> list[Wire]:
    """Clients that want all the streams of an endpoint of 16 connections with 10 streams each."""
    downs = [stage.client() for _ in range(clients)]
    for down in downs:
        for _ in range(each):
            stage.request(down, end=end)
            connect_more(stage)
    return downs


def connect_more(stage: Stage) -> None:
    for link in list(stage.dialled):
        stage.connect(link, {MAX_CONCURRENT_STREAMS: 10})


def answer_all(stage: Stage) -> None:
    for up in stage.ups:
        for stream in list(up.conn.streams.values()):
            if stream.send_state == 2:
                up.feed(up.voice.headers(stream.id, [*GRPC_RESPONSE, ("grpc-status", "0")], end=True))


def make_small(make_stage: MakeStage) -> Stage:
    stage: Stage = make_stage(1)
    connect_more(stage)
    return stage


def test_who_leaves_requests_unfinished_gives_way_to_others(make_stage: MakeStage) -> None:
    stage = make_small(make_stage)
    take_all(stage)
    assert len(stage.ups) == CONNECTIONS
    assert sum(up.conn.open_streams for up in stage.ups) == CONNECTIONS * 10
    stage.advance(1)
    honest = stage.client()
    one = stage.request(honest)
    stage.advance(3.5)
    answer_all(stage)
    assert honest.hear("HEADERS", one)[-1].header("grpc-status") == "0"
    assert stage.failures()["request-stalled"] > 0
    # From now on nobody waits.
    for _ in range(100):
        two = stage.request(honest)
        answer_all(stage)
        assert honest.hear("HEADERS", two)[-1].header("grpc-status") == "0"
        stage.now += 0.02


def test_who_waits_for_an_answer_is_left_alone(make_stage: MakeStage) -> None:
    stage = make_small(make_stage)
    take_all(stage, end=True)
    stage.advance(600)
    honest = stage.client()
    one = stage.request(honest)
    stage.advance(3.5)
    assert "request-stalled" not in stage.failures()
    assert honest.hear("HEADERS", one)[-1].header("gossamer-error") == "overload"


def test_a_greedy_client_leaves_streams_to_others(make_stage: MakeStage) -> None:
    """One connection alone gets two thirds of them, and waits for more."""
    stage = make_small(make_stage)
    (greedy,) = take_all(stage, clients=1, each=100, end=True)
    twin = stage.client()
    for _ in range(60):
        stage.request(twin)
        connect_more(stage)
    assert 130 <= sum(up.conn.open_streams for up in stage.ups) < 160
    third = stage.client()
    one = stage.request(third)
    answer_all(stage)
    assert third.hear("HEADERS", one)[-1].header("grpc-status") == "0"
    assert not greedy.lost


@pytest.mark.parametrize("others", [0, 1])
def test_a_stalled_upload_leaves_a_part_of_a_large_window(make_stage: MakeStage, others: int) -> None:
    stage: Stage = make_stage(1)
    (up,) = stage.connect_all({INITIAL_WINDOW_SIZE: 1 << 20})
    up.feed(up.voice.window(0, (1 << 20) - 65_535))
    down = stage.client()
    for _ in range(others):
        stage.request(down, GET_REQUEST)
    one = stage.request(down, end=False)
    for _ in range(80):
        if down.voice.own_window(one) >= 16_384:
            down.feed(down.voice.data(one, bytes(16_384)))
    sent = len(up.body(stage.where(down, one)[1]))
    if others:
        assert sent <= 3 * (1 << 20) // 4 + 16_384
        assert up.voice.conn_window >= (1 << 18) - 16_384
        # Alone at last, it may have the rest.
        for stream_id in list(down.conn.streams):
            if stream_id != one:
                down.feed(down.voice.rst(stream_id))
        assert len(up.body(stage.where(down, one)[1])) > sent
    else:
        assert sent > 3 * (1 << 20) // 4 + 16_384


def test_new_requests_go_beside_a_connection_whose_window_is_used_up(make_stage: MakeStage) -> None:
    stage: Stage = make_stage(1)
    (up,) = stage.connect_all({INITIAL_WINDOW_SIZE: 1 << 20})
    down = stage.client()
    one = stage.request(down, end=False)
    for _ in range(8):
        if down.voice.own_window(one) >= 16_384:
            down.feed(down.voice.data(one, bytes(16_384)))
    assert up.voice.conn_window == 0
    stage.request(down, end=False)
    other = stage.connect(stage.dialled[0], {INITIAL_WINDOW_SIZE: 1 << 20})
    two = stage.request(down, body=b"x" * 1_000)
    assert stage.where(down, two)[0] is other
    assert other.body(1) == b"x" * 1_000


# ---- the peer's SETTINGS_MAX_HEADER_LIST_SIZE

LONG = [("x", "y" * 4_000)]


def test_a_request_that_the_endpoint_does_not_accept_is_not_sent(make_stage: MakeStage) -> None:
    stage: Stage = make_stage(1)
    (up,) = stage.connect_all({MAX_HEADER_LIST_SIZE: 4_000})
    down = stage.client()
    one = stage.request(down, [*GRPC_REQUEST, *LONG])
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "8"
    two = stage.request(down, [*GET_REQUEST, *LONG])
    assert down.hear("HEADERS", two)[0].header(":status") == "431"
    assert stage.failures() == {"headers-too-large": 2}
    three = stage.request(down, end=False)
    down.feed(down.voice.headers(three, LONG, end=True))
    assert down.hear("HEADERS", three)[0].header("grpc-status") == "8"
    assert [heard.header("x") for heard in up.hear("HEADERS")] == [None]
    assert up.hear("RST_STREAM")
    stage.check_idle()


def test_a_response_that_the_client_does_not_accept_is_not_sent(stage: Stage) -> None:
    down = stage.client({MAX_HEADER_LIST_SIZE: 4_000})
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [*GRPC_RESPONSE, *LONG]))
    assert down.hear("HEADERS", one)[0].header("gossamer-error") == "response-headers-too-large"
    two = stage.request(down)
    up, there = stage.where(down, two)
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.headers(there, [*GRPC_OK, *LONG], end=True))
    assert down.hear("HEADERS", two)[-1].header("grpc-status") == "8"
    stage.check_idle()


# ---- what a reference to the table costs the endpoint


def count_up(up: Wire) -> int:
    return sum(len(heard.headers) for heard in up.hear("HEADERS"))


@pytest.mark.parametrize("table", [4_096, 1_000, 0])
def test_a_long_field_that_comes_again_is_sent_once(make_stage: MakeStage, table: int) -> None:
    stage: Stage = make_stage(1)
    (up,) = stage.connect_all({1: table})
    up.voice.decoder.max_allowed_table_size = table
    heard_bytes = 0
    hear = up.voice.hear

    def counted(data: bytes) -> object:
        nonlocal heard_bytes
        heard_bytes += len(data)
        return hear(data)

    up.voice.hear = counted
    down = stage.client()
    token = [("authorization", "Bearer " + "t" * 1_200), ("x-short", "s" * 40)]
    for _ in range(50):
        one = stage.request(down, [*GRPC_REQUEST, *token])
        _, there = stage.where(down, one)
        assert up.hear("HEADERS", there)[0].headers[-2:] == token
        up.feed(up.voice.headers(there, [*GRPC_RESPONSE, ("grpc-status", "0")], end=True))
    if table == 4_096:
        assert heard_bytes < 12_000
        # The endpoint changes its mind: from the next block on it is as if there were no table.
        up.feed(up.voice.settings({1: 0}))
        up.voice.decoder.max_allowed_table_size = 0
        one = stage.request(down, [*GRPC_REQUEST, *token])
        _, there = stage.where(down, one)
        assert up.hear("HEADERS", there)[0].headers[-2:] == token
        up.feed(up.voice.headers(there, [*GRPC_RESPONSE, ("grpc-status", "0")], end=True))
    else:
        assert heard_bytes > 40_000
    stage.check_idle()


def test_many_long_fields_keep_the_endpoints_table_in_step(make_stage: MakeStage) -> None:
    """More than fits, from three clients, so that entries come and go all the time."""
    stage: Stage = make_stage(1)
    (up,) = stage.connect_all()
    downs = [stage.client() for _ in range(3)]
    for turn in range(120):
        down = downs[turn % 3]
        fields = [(f"long-{turn % 5}", f"{turn % 7}" * (500 + turn % 11 * 30)), ("other", f"{turn % 3}" * 700)]
        for _again in range(2):
            one = stage.request(down, [*GRPC_REQUEST, *fields])
            _, there = stage.where(down, one)
            assert up.hear("HEADERS", there)[0].headers[-2:] == fields
            up.feed(up.voice.headers(there, [*GRPC_RESPONSE, ("grpc-status", "0")], end=True))
    stage.check_idle()


def test_amplification_is_bounded(make_stage: MakeStage) -> None:
    """A field of 4 KB in the table, named as often as it may be: bytes to the endpoint for a byte of the client."""
    stage: Stage = make_stage(1)
    (up,) = stage.connect_all()
    down = stage.client()
    voice: Voice = down.voice
    down.feed(voice.headers(1, [*GET_REQUEST, ("bomb", "b" * 3_900)], end=True))
    voice.next_id = 3
    said = heard = 0
    hear = up.voice.hear

    def counted(data: bytes) -> object:
        nonlocal heard
        heard += len(data)
        return hear(data)

    up.voice.hear = counted
    for _ in range(50):
        block = b"\x82\x86\x84\x01\x04echo" + b"\xbe" * 2
        frame = len(block).to_bytes(3, "big") + b"\x01\x05" + voice.next_id.to_bytes(4, "big") + block
        voice.next_id += 2
        said += len(frame)
        down.feed(frame)
    assert len(up.hear("HEADERS")) == 51
    assert heard < 5 * said
