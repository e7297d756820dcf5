"""Scripts of single requests: DESIGN 3.2, what may happen between the first header block and the last byte."""

from __future__ import annotations

import pytest

from tests.playbook.conftest import MakeStage
from tests.playbook.stage import Stage
from tests.playbook.voice import GET_REQUEST, GRPC_OK, GRPC_REQUEST, GRPC_RESPONSE, OK

CANCEL = 8
LARGE = [(f"x-large-{at}", "v" * 4_000) for at in range(10)]


def test_a_unary_call(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, body=b"question")
    up, there = stage.where(down, one)
    assert up.body(there) == b"question"
    assert dict(up.hear("HEADERS", there)[0].headers) == dict(GRPC_REQUEST)
    voice = up.voice
    up.feed(
        voice.headers(there, GRPC_RESPONSE) + voice.data(there, b"answer") + voice.headers(there, GRPC_OK, end=True)
    )
    first, last = down.hear("HEADERS", one)
    assert (first.headers, last.headers) == (GRPC_RESPONSE, GRPC_OK)
    assert down.body(one) == b"answer"
    assert last.end
    stage.check_idle()


def test_a_trailers_only_response(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [*GRPC_RESPONSE, ("grpc-status", "5")], end=True))
    (only,) = down.hear("HEADERS", one)
    assert only.end
    assert only.header("grpc-status") == "5"
    stage.check_idle()


def test_interim_responses_come_before_the_final_one(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST)
    up, there = stage.where(down, one)
    up.feed(
        up.voice.headers(there, [(":status", "100")]) + up.voice.headers(there, [(":status", "103"), ("link", "a")])
    )
    up.feed(up.voice.headers(there, OK, end=True))
    assert [heard.header(":status") for heard in down.hear("HEADERS", one)] == ["100", "103", "200"]
    stage.check_idle()


def test_a_server_may_send_early_hints_with_every_response(stage: Stage) -> None:
    down = stage.client()
    for _ in range(300):
        one = stage.request(down, GET_REQUEST)
        up, there = stage.where(down, one)
        up.feed(up.voice.headers(there, [(":status", "103"), ("link", "a")]) + up.voice.headers(there, OK, end=True))
    assert not down.hear("GOAWAY")
    assert not any(wire.lost for wire in stage.ups)


def test_half_close_leaves_the_other_half_open(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, body=b"all", end=True)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE))
    for at in range(5):
        stage.advance(60)
        up.feed(up.voice.data(there, b"%d" % at))
    up.feed(up.voice.headers(there, GRPC_OK, end=True))
    assert down.body(one) == b"01234"
    stage.check_idle()


def test_both_sides_stream_at_once(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE))
    for at in range(20):
        down.feed(down.voice.data(one, b"q%d." % at))
        up.feed(up.voice.data(there, b"a%d." % at))
    up.feed(up.voice.headers(there, GRPC_OK, end=True))
    assert not up.hear("RST_STREAM")
    down.feed(down.voice.data(one, b"", end=True))
    assert up.body(there).count(b".") == down.body(one).count(b".") == 20
    stage.check_idle()


def test_an_early_response_then_the_client_goes_on_to_its_end(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST, body=b"a", end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [(":status", "413")], end=True))
    assert down.hear("HEADERS", one)[0].end
    down.feed(down.voice.data(one, b"b", end=True))
    assert up.body(there) == b"ab"
    assert not down.hear("RST_STREAM")
    stage.check_idle()


def test_an_early_response_and_no_error_stop_the_upload(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST, body=b"a", end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [(":status", "413")], end=True) + up.voice.rst(there, 0))
    assert down.hear("HEADERS", one)[0].end
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [0]
    # What was under way is dropped without a word, and the connection lives.
    down.feed(down.voice.data(one, b"b" * 10_000) + down.voice.data(one, b"c", end=True))
    assert not down.lost
    stage.check_idle()


def test_an_early_response_behind_a_full_window_comes_before_the_reset(stage: Stage) -> None:
    down = stage.client({4: 10})
    one = stage.request(down, GET_REQUEST, body=b"a", end=False)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, OK) + up.voice.data(there, b"x" * 100, end=True) + up.voice.rst(there, 0))
    assert down.body(one) == b"x" * 10
    assert not down.hear("RST_STREAM")
    down.feed(down.voice.window(one, 90))
    assert down.body(one) == b"x" * 100
    down.feed(down.voice.data(one, b"more"))
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [0]
    stage.check_idle()


def test_large_headers_and_trailers_are_continued_both_ways(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, GRPC_REQUEST + LARGE, end=False)
    down.feed(down.voice.data(one, b"body"))
    down.feed(down.voice.headers(one, LARGE, end=True, step=1_000))
    up, there = stage.where(down, one)
    head, trailers = up.hear("HEADERS", there)
    assert head.headers[-10:] == LARGE
    assert trailers.headers == LARGE
    assert trailers.end
    up.feed(up.voice.headers(there, GRPC_RESPONSE + LARGE, step=700) + up.voice.data(there, b"x"))
    up.feed(up.voice.headers(there, GRPC_OK + LARGE, end=True, step=9_000, pad=200))
    assert [heard.headers[-10:] for heard in down.hear("HEADERS", one)] == [LARGE, LARGE]
    stage.check_idle()


def test_trailers_wait_behind_the_body(stage: Stage) -> None:
    down = stage.client({4: 0})
    one = stage.request(down)
    up, there = stage.where(down, one)
    voice = up.voice
    up.feed(
        voice.headers(there, GRPC_RESPONSE) + voice.data(there, b"x" * 50) + voice.headers(there, GRPC_OK, end=True)
    )
    assert len(down.hear("HEADERS", one)) == 1
    down.feed(down.voice.window(one, 49))
    assert len(down.hear("HEADERS", one)) == 1
    down.feed(down.voice.window(one, 1))
    assert down.hear("HEADERS", one)[1].end
    stage.check_idle()


def test_push_promise_is_refused(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    up, there = stage.where(down, one)
    assert up.heard[0].kind == "SETTINGS"
    up.feed(b"\x00\x00\x05\x05\x04" + there.to_bytes(4, "big") + b"\x00\x00\x00\x02\x88")
    assert up.hear("GOAWAY")[0].code == 1
    assert up.lost
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "14"
    stage.check_idle()


@pytest.mark.parametrize("answered", [False, True])
def test_a_cancel_reaches_the_endpoint_at_once(stage: Stage, answered: bool) -> None:
    down = stage.client()
    one = stage.request(down, end=False)
    up, there = stage.where(down, one)
    if answered:
        up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.data(there, b"x"))
    down.feed(down.voice.rst(one, CANCEL))
    assert [heard.code for heard in up.hear("RST_STREAM", there)] == [CANCEL]
    stage.check_idle()


def test_a_reset_of_the_endpoint_reaches_the_client(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, GRPC_RESPONSE) + up.voice.rst(there, 11))
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [11]
    stage.check_idle()


def test_both_sides_cancel_at_once(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, end=False)
    up, there = stage.where(down, one)
    # Each has said it before it heard the other.
    voice = up.voice
    theirs = voice.headers(there, GRPC_RESPONSE) + voice.data(there, b"x") + voice.rst(there, CANCEL)
    down.feed(down.voice.rst(one, CANCEL))
    up.feed(theirs)
    other = stage.request(down, end=False)
    up, there = stage.where(down, other)
    up.feed(up.voice.rst(there, CANCEL))
    down.feed(down.voice.data(other, b"y") + down.voice.rst(other, CANCEL))
    assert not down.lost
    assert not up.lost
    stage.check_idle()


def test_a_client_that_leaves_cancels_all_its_requests(stage: Stage) -> None:
    down = stage.client()
    for _ in range(10):
        stage.request(down, end=False)
    down.hang_up()
    assert sum(len(up.hear("RST_STREAM")) for up in stage.ups) == 10
    stage.check_idle()


@pytest.mark.parametrize("in_headers", [False, True])
def test_head_may_announce_a_length(stage: Stage, in_headers: bool) -> None:
    down = stage.client()
    one = stage.request(down, [(":method", "HEAD"), *GET_REQUEST[1:]])
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [*OK, ("content-length", "1000")], end=in_headers))
    if not in_headers:
        up.feed(up.voice.data(there, b"", end=True))
    assert not down.hear("RST_STREAM")
    assert one in down.voice.ended
    stage.check_idle()


def test_not_modified_may_announce_a_length(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST)
    up, there = stage.where(down, one)
    up.feed(
        up.voice.headers(there, [(":status", "304"), ("content-length", "9")]) + up.voice.data(there, b"", end=True)
    )
    assert not down.hear("RST_STREAM")
    assert one in down.voice.ended
    stage.check_idle()


def test_a_head_request_is_never_answered_with_a_body(make_stage: MakeStage) -> None:
    stage = make_stage()
    down = stage.client()
    one = stage.request(down, [(":method", "HEAD"), *GET_REQUEST[1:]])
    stage.advance(4)
    (answer,) = down.hear("HEADERS", one)
    assert answer.header(":status") == "503"
    assert answer.end
    assert not down.hear("DATA", one)


@pytest.mark.parametrize("extra", [b"x", b""])
def test_a_body_that_differs_from_its_length_is_a_fault(stage: Stage, extra: bytes) -> None:
    down = stage.client()
    one = stage.request(down, GET_REQUEST)
    up, there = stage.where(down, one)
    up.feed(up.voice.headers(there, [*OK, ("content-length", "3")]))
    up.feed(up.voice.data(there, b"ab" if not extra else b"abc") + up.voice.data(there, extra, end=True))
    assert [heard.code for heard in down.hear("RST_STREAM", one)] == [2]
    assert [heard.code for heard in up.hear("RST_STREAM", there)] == [1]
    assert not up.lost
    stage.check_idle()


def test_an_unknown_authority_is_answered_at_once(stage: Stage) -> None:
    down = stage.client()
    one = stage.request(down, [*GRPC_REQUEST[:3], (":authority", "nobody"), *GRPC_REQUEST[4:]], body=b"x" * 20_000)
    assert down.hear("HEADERS", one)[0].header("grpc-status") == "12"
    two = stage.request(down, [*GET_REQUEST[:3], (":authority", "nobody")])
    assert down.hear("HEADERS", two)[0].header(":status") == "404"
    assert stage.failures() == {"no-route": 2}
    stage.check_idle()
