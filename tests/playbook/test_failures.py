"""Scripts of failures that a client can see: the table of DESIGN 3.4, and the outcome that the balancer hears of."""

from __future__ import annotations

import pytest

from tests.playbook.conftest import MakeStage
from tests.playbook.stage import Stage
from tests.playbook.voice import GET_REQUEST, GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE, OK

CANCEL = 8


def test_a_connection_lost_before_the_headers(stage: Stage) -> None:
    down = stage.client()
    ids = [stage.request(down), stage.request(down, GET_REQUEST), stage.request(down), stage.request(down, GET_REQUEST)]
    for up in list(stage.ups):
        up.hang_up("connection reset by peer")
    for stream_id, name, value in zip(ids, ("grpc-status", ":status") * 2, ("14", "502") * 2, strict=True):
        first = down.hear("HEADERS", stream_id)[0]
        assert first.header(name) == value
        assert first.header("gossamer-error") == "upstream-lost"
        assert stream_id in down.voice.ended
    assert stage.failures() == {"upstream-lost": 4}
    assert all(endpoint.breaker.streak for endpoint in stage.endpoints)
    assert set(stage.dialled) == {endpoint.link for endpoint in stage.endpoints}
    stage.check_idle()


def test_who_crashes_at_each_request_is_ejected_though_it_is_back_each_time(make_stage: MakeStage) -> None:
    stage = make_stage(3)
    stage.connect_all()
    down = stage.client()
    link = stage.endpoints[0].link
    lost = 0
    for _ in range(200):
        up, there = stage.where(down, stage.request(down))
        if up.conn.link is link:
            lost += 1
            up.hang_up("connection reset by peer")
            link.endpoint.renew()  # as a dial that is refused does
            stage.connect(link)
        else:
            up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.headers(there, GRPC_OK, end=True))
        stage.now += 0.01
    assert 7 <= lost < 12
    assert link.endpoint.breaker.backoff_s > 0.0
    stage.check_idle()


def test_who_waits_for_room_at_an_endpoint_that_goes_says_nothing_of_its_latency(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    (up,) = stage.connect_all({3: 0})
    down = stage.client()
    stage.request(down)
    up.hang_up()
    assert stage.endpoints[0].rtt(stage.now) == 0.0
    (up,) = stage.connect_all()
    assert len(up.hear("HEADERS")) == 1


def test_a_connection_lost_within_the_response(stage: Stage) -> None:
    down = stage.client()
    ids = [stage.request(down), stage.request(down, GET_REQUEST)]
    for stream_id, head in zip(ids, (GRPC_RESPONSE, OK), strict=True):
        up, there = stage.where(down, stream_id)
        up.feed(up.voice.headers(there, head) + up.voice.data(there, b"half"))
    for up in list(stage.ups):
        up.hang_up()
    trailers = down.hear("HEADERS", ids[0])[-1]
    assert (trailers.header("grpc-status"), trailers.header(":status"), trailers.end) == ("14", None, True)
    assert trailers.header("gossamer-error") == "upstream-lost"
    assert [heard.code for heard in down.hear("RST_STREAM", ids[1])] == [2]
    assert down.body(ids[0]) == down.body(ids[1]) == b"half"
    stage.check_idle()


def test_what_was_received_before_the_loss_is_delivered_before_the_trailers(stage: Stage) -> None:
    down = stage.client({4: 3})
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.data(there, b"abcdef"))
    up.hang_up()
    down.feed(down.voice.window(one, 3))
    assert down.body(one) == b"abcdef"
    assert down.hear("HEADERS", one)[-1].header("grpc-status") == "14"
    stage.check_idle()


def test_an_upload_is_stopped_when_its_endpoint_is_lost(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, body=b"x" * 100, end=False)
    stage.where(down, one)[0].hang_up()
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "14"
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [0]
    down.feed(down.voice.data(one, b"y" * 16_000) + down.voice.headers(one, [("x", "y")], end=True))
    assert not down.lost
    stage.check_idle()


def test_an_endpoint_that_breaks_the_rules_of_one_stream(stage: Stage) -> None:
    down = stage.client()
    one, two = stage.request(down), stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [(":status", "200"), ("connection", "close")]))
    assert down.hear("HEADERS", one)[0].header("gossamer-error") == "upstream-fault"
    assert [heard.code for heard in up.hear("RST_STREAM", there)] == [1]
    assert not up.lost
    up, there = stage.where(down, two)
    up.feed(up.voice.headers(there, [*GRPC_RESPONSE, ("grpc-status", "0")], end=True))
    assert stage.faults() == {("upstream", "connection-specific field"): 1}
    stage.check_idle()


def test_an_endpoint_that_breaks_the_connection(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    up, _ = stage.where(down, one)
    up.feed(b"\x00\x00\x01\x06\x00\x00\x00\x00\x00\x00")
    assert up.hear("GOAWAY")[0].code == 6
    assert up.lost
    assert down.hear("HEADERS", one)[0].header("gossamer-error") == "upstream-lost"
    stage.check_idle()


# ---- no endpoint


def test_without_an_endpoint_a_request_waits_then_all_fail_at_once(make_stage: MakeStage) -> None:
    stage = make_stage()
    down = stage.client()
    stage.advance(1)
    one = stage.request(down)
    two = stage.request(down, GET_REQUEST, body=b"x" * 1_000, end=False)
    stage.advance(1.9)
    assert not down.hear("HEADERS")
    stage.advance(0.3)
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "14"
    assert down.hear("HEADERS", two)[0].header(":status") == "503"
    three = stage.request(down)
    assert down.hear("HEADERS", three)[0].header("gossamer-error") == "no-endpoint"
    assert stage.failures() == {"no-endpoint": 3}
    stage.check_idle()


def test_a_waiting_request_is_served_with_its_body_once_an_endpoint_is_ready(make_stage: MakeStage) -> None:
    stage = make_stage()
    down = stage.client()
    one = stage.request(down, body=b"a", end=False)
    stage.advance(2)
    down.feed(down.voice.data(one, b"b", end=True))
    up = stage.connect(stage.dialled[0])
    assert up.body(1) == b"ab"
    up.feed(up.voice.headers(1, [*GRPC_RESPONSE, ("grpc-status", "0")], end=True))
    assert down.hear("HEADERS", one)[0].end
    stage.advance(5)
    assert not stage.failures()
    stage.check_idle()


def test_a_body_that_waits_is_bounded_by_its_window(make_stage: MakeStage) -> None:
    stage = make_stage()
    down = stage.client()
    one = stage.request(down, end=False)
    while down.voice.own_window(one) >= 16_384:
        down.feed(down.voice.data(one, b"x" * 16_384))
    assert not down.hear("WINDOW_UPDATE", one)
    up = stage.connect(stage.dialled[0])
    up.feed(up.voice.window(0, 10**6) + up.voice.window(1, 10**6))
    assert up.body(1) == b"x" * 65_536
    assert down.hear("WINDOW_UPDATE", one)


@pytest.mark.parametrize("leave", ["reset", "hang_up"])
def test_a_client_that_leaves_does_not_wait_on(make_stage: MakeStage, leave: str) -> None:
    stage = make_stage()
    down = stage.client()
    one = stage.request(down)
    if leave == "reset":
        down.feed(down.voice.rst(one))
    else:
        down.hang_up()
    stage.check_idle()
    up = stage.connect(stage.dialled[0])
    assert not up.hear("HEADERS")


def test_after_the_endpoints_are_back_requests_wait_again(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    down = stage.client()
    stage.advance(10)
    up = stage.connect(stage.dialled[0])
    up.hang_up()
    one = stage.request(down)
    assert not down.hear("HEADERS", one)
    up = stage.connect(stage.dialled[0])
    up.feed(up.voice.headers(1, [*GRPC_RESPONSE, ("grpc-status", "0")], end=True))
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "0"


# ---- timeouts


@pytest.mark.parametrize("connected", [True, False])
def test_the_route_s_timeout(make_stage: MakeStage, connected: bool) -> None:
    stage = make_stage(timeout_s=1.5)
    if connected:
        stage.connect_all()
    down = stage.client()
    one, two = stage.request(down), stage.request(down, GET_REQUEST)
    stage.advance(1.4)
    assert not down.hear("HEADERS")
    stage.advance(0.3)
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "4"
    assert down.hear("HEADERS", two)[0].header(":status") == "504"
    if connected:
        assert [heard.code for up in stage.ups for heard in up.hear("RST_STREAM")] == [CANCEL] * 2
    stage.check_idle()


def test_the_route_s_timeout_within_a_response_that_the_client_does_not_take(make_stage: MakeStage) -> None:
    stage = make_stage(timeout_s=1.0)
    stage.connect_all()
    down = stage.client({4: 2})
    one = stage.request(down, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.data(there, b"abcd"))
    stage.advance(1.2)
    assert up.hear("RST_STREAM", there)
    down.feed(down.voice.window(one, 2))
    assert down.body(one) == b"abcd"
    assert down.hear("HEADERS", one)[-1].header("grpc-status") == "4"


def test_a_timeout_covers_all_attempts(make_stage: MakeStage) -> None:
    stage = make_stage(timeout_s=1.0)
    stage.connect_all()
    down = stage.client()
    one = stage.request(down)
    stage.advance(0.6)
    up, there = stage.where(down, one)
    up.feed(up.voice.rst(there, 7))
    stage.advance(0.6)
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "4"
    stage.check_idle()


def test_a_thousand_timeouts_on_a_socket_that_takes_nothing(make_stage: MakeStage) -> None:
    """The resets that they cause wait there; neither the sweep nor any client suffers."""
    stage = make_stage(1, timeout_s=1.0)
    up = stage.connect(stage.dialled[0])
    up.stall()
    up.conn.blocked = True
    downs = [stage.client() for _ in range(15)]
    for down in downs:
        for _ in range(100):
            stage.request(down)
    stage.advance(1.2)
    assert not any(down.lost for down in downs)
    assert all(len(down.hear("HEADERS")) == 100 for down in downs)
    up.resume()
    assert not up.lost
    stage.check_idle()


def test_a_thousand_cancels_on_a_socket_that_takes_nothing(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    up = stage.connect(stage.dialled[0])
    up.stall()
    up.conn.blocked = True
    for _ in range(20):
        down = stage.client()
        ids = [stage.request(down) for _ in range(100)]
        for stream_id in ids:
            down.feed(down.voice.rst(stream_id))
        assert not down.lost
        assert not down.hear("GOAWAY")
    up.resume()
    assert not up.lost
    stage.check_idle()


def test_late_frames_of_many_cancelled_streams_do_not_end_the_connection(make_stage: MakeStage) -> None:
    """The endpoint answers 2,000 streams of 20 clients before it hears that they were all cancelled."""
    stage = make_stage(1)
    up = stage.connect(stage.dialled[0])
    voice = up.voice
    late = b""
    for _ in range(20):
        down = stage.client()
        for _ in range(100):
            one = stage.request(down)
            _, there = stage.where(down, one)
            late += voice.headers(there, GRPC_RESPONSE, indexed=False) + voice.data(there, b"x")
        down.hang_up()
    honest = stage.client()
    one = stage.request(honest)
    _, there = stage.where(honest, one)
    up.feed(late)
    up.feed(voice.headers(there, GRPC_RESPONSE) + voice.headers(there, GRPC_OK, end=True))
    assert not up.lost
    assert honest.hear("HEADERS", one)[-1].headers == GRPC_OK


# ---- what the balancer hears


def test_a_cancel_after_the_deadline_is_the_endpoint_s_failure(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    stage.connect_all()
    down = stage.client()
    endpoint = stage.endpoints[0]
    one = stage.request(down, [*GRPC_REQUEST, ("grpc-timeout", "500m")])
    stage.advance(0.5)
    down.feed(down.voice.rst(one, CANCEL))
    assert endpoint.breaker.streak == 1
    two = stage.request(down, [*GRPC_REQUEST, ("grpc-timeout", "500m")])
    stage.advance(0.3)
    down.feed(down.voice.rst(two, CANCEL))
    assert endpoint.breaker.streak == 1
    stage.check_idle()


PUSHBACK = ("grpc-retry-pushback-ms", "1500")


@pytest.mark.parametrize(
    ("trailers", "streak"),
    [
        ([("grpc-status", "14")], 1),
        ([("grpc-status", "8"), PUSHBACK], 1),
        ([("grpc-status", "8")], 0),  # a quota, or a message that is too long
        ([("grpc-status", "13")], 0),
        ([("grpc-status", "4")], 0),
        ([("grpc-status", "0")], 0),
    ],
)
def test_only_the_endpoint_s_own_faults_count_against_it(
    make_stage: MakeStage, trailers: list[tuple[str, str]], streak: int
) -> None:
    stage = make_stage(1)
    stage.connect_all()
    down = stage.client()
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.headers(there, trailers, end=True))
    assert stage.endpoints[0].breaker.streak == streak
    stage.check_idle()


def test_a_client_that_has_not_said_all_says_nothing_of_the_endpoint(make_stage: MakeStage) -> None:
    """A slow upload that is cancelled, expires or is answered in the end is no latency of the endpoint."""
    stage = make_stage(1)
    stage.connect_all()
    down = stage.client()
    endpoint = stage.endpoints[0]
    deadline = [*GRPC_REQUEST, ("grpc-timeout", "1S")]
    for pairs in (GRPC_REQUEST, deadline):
        one = stage.request(down, pairs, end=False)
        stage.advance(2.0)
        down.feed(down.voice.rst(one, CANCEL))
    one = stage.request(down, end=False)
    stage.advance(3.0)
    down.feed(down.voice.data(one, b"x", end=True))
    up, there = stage.where(down, one)
    stage.now += 0.005
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.headers(there, GRPC_OK, end=True))
    assert endpoint.breaker.streak == 0
    assert endpoint.rtt(stage.now) < 0.05
    stage.check_idle()


def test_a_deadline_that_nothing_can_meet_is_no_excuse(make_stage: MakeStage) -> None:
    stage = make_stage(1)
    stage.connect_all()
    down = stage.client()
    for _ in range(5):
        one = stage.request(down, [*GRPC_REQUEST, ("grpc-timeout", "1n")])
        down.feed(down.voice.rst(one, CANCEL))
    assert stage.endpoints[0].breaker.streak == 0
    assert down.conn.guard.premature == 5
    stage.check_idle()


def test_a_request_block_that_is_too_large_ends_its_stream_alone(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    large = stage.request(down, [*GRPC_REQUEST, *[(f"x-{at}", "y" * 10_000) for at in range(8)]])
    assert down.hear("HEADERS", large)[0].header("grpc-status") == "8"
    assert down.hear("HEADERS", large)[0].header("gossamer-error") == "headers-too-large"
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.headers(there, GRPC_OK, end=True))
    assert down.hear("HEADERS", one)
    stage.check_idle()


def test_a_route_s_timeout_spares_the_endpoint_that_answers(make_stage: MakeStage) -> None:
    stage = make_stage(1, timeout_s=1.0)
    stage.connect_all()
    down = stage.client()
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.data(there, b"x"))
    stage.advance(1.5)
    assert down.hear("HEADERS", one)[-1].header("grpc-status") == "4"
    assert stage.endpoints[0].breaker.streak == 0
    stage.request(down)
    stage.advance(1.5)
    assert stage.endpoints[0].breaker.streak == 1
    stage.check_idle()
