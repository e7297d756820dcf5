"""An application that has ended before its pod is known to: its sidecar refuses what comes, and the caller's sidecar
sends it to another endpoint, since no application has seen it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.relay.http1.link import MAX_HONOURED
from tests.playbook import h1_stage
from tests.playbook.conftest import MakeStage
from tests.playbook.h1_stage import GET, OK, POST
from tests.playbook.stage import Stage
from tests.playbook.voice import GET_REQUEST, GRPC_REQUEST

REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\nGossamer-Error: no-endpoint\r\nConnection: close, gossamer-refused\r\n"
    b"Content-Length: 3\r\n\r\nno\n"
)
REFUSED_STREAM = 7


@pytest.fixture
def pair() -> Iterator[h1_stage.Stage]:
    stage = h1_stage.Stage(count=2)
    yield stage
    stage.finish()


@pytest.fixture
def alone() -> Iterator[h1_stage.Stage]:
    stage = h1_stage.Stage(count=1, dials=False)
    yield stage
    stage.finish()


# ---- the caller's side, HTTP/1


@pytest.mark.parametrize("request_", [GET, POST])
def test_what_was_refused_goes_elsewhere(pair: h1_stage.Stage, request_: bytes) -> None:
    client = pair.client()
    client.send(request_)
    (first,) = pair.ups
    assert first.take() == request_
    first.send(REFUSED[:70])
    first.send(REFUSED[70:])
    assert first.shut
    second = pair.ups[1]
    assert second.take() == request_
    assert second.conn.link.endpoint is not first.conn.link.endpoint
    second.send(OK)
    assert client.take() == OK
    assert pair.tally.replays == 1
    assert pair.outcomes() == {(0, False): 1, (200, True): 1}


def test_with_the_rest_of_its_body(pair: h1_stage.Stage) -> None:
    client = pair.client()
    client.send(POST[:-1])
    pair.ups[0].send(REFUSED)
    assert pair.ups[1].take() == POST[:-1]
    client.send(POST[-1:])
    assert pair.ups[1].take() == POST[-1:]


def test_a_body_that_is_not_kept_is_not_sent_again(pair: h1_stage.Stage) -> None:
    client = pair.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70001\r\n\r\n", b"x" * 70_000)
    pair.ups[0].send(REFUSED)
    assert client.take().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert len(pair.ups) == 1


def test_where_all_refuse_the_client_hears_of_it(pair: h1_stage.Stage) -> None:
    client = pair.client()
    client.send(POST)
    pair.ups[0].send(REFUSED)
    pair.ups[1].send(REFUSED)
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"gossamer-refused" not in answer
    assert len(pair.ups) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Gossamer-Error: no-endpoint\r\n", b""),
        (b"close, gossamer-refused", b"gossamer-refused"),
        (b"503", b"200"),
        (b"503", b"500"),
    ],
)
def test_what_no_sidecar_says_is_not_believed(pair: h1_stage.Stage, before: bytes, after: bytes) -> None:
    """An application that could have a payment made again, elsewhere."""
    client = pair.client()
    client.send(POST)
    pair.ups[0].send(REFUSED.replace(before, after))
    assert len(pair.ups) == 1
    assert pair.tally.replays == 0
    assert client.take().endswith(b"no\n")


def test_an_application_is_not_believed_by_its_own_sidecar() -> None:
    alone = h1_stage.Stage()
    client = alone.client()
    client.send(POST)
    alone.ups[0].send(REFUSED)
    answer = client.take()
    assert answer.endswith(b"no\n")
    assert b"gossamer-refused" not in answer
    assert alone.tally.replays == 0
    alone.finish()


def refuse_one(stage: h1_stage.Stage) -> bool:
    """Whether it was the first endpoint that refused, and so had the request sent elsewhere."""
    stage.wait(70.0)
    for wire in stage.ups:
        wire.take()
    client = stage.client()
    client.send(POST)
    (up,) = [wire for wire in stage.ups if wire.take()]
    refuses = up.conn.link.endpoint.address[1] == 1
    up.send(REFUSED if refuses else OK)
    for wire in stage.ups:
        if wire.take() and not wire.shut:
            wire.send(OK)
    return refuses


def test_who_refuses_again_is_at_fault(pair: h1_stage.Stage) -> None:
    endpoint = pair.cluster.balancer.endpoints[0]
    assert any(refuse_one(pair) for _ in range(50))
    assert endpoint.link.refusals == 1
    assert endpoint.breaker.faults(pair.now) == 0
    assert any(refuse_one(pair) for _ in range(50))
    assert endpoint.link.refusals == 2
    assert endpoint.breaker.faults(pair.now) == 1
    assert pair.tally.replays == 2


def test_it_is_believed_so_often_and_no_more(pair: h1_stage.Stage) -> None:
    pair.cluster.balancer.endpoints[0].link.refusals = MAX_HONOURED
    assert any(refuse_one(pair) for _ in range(50))
    assert pair.tally.replays == 0


# ---- the side of the application, HTTP/1


@pytest.mark.parametrize("request_", [GET, POST])
def test_an_application_that_has_ended(alone: h1_stage.Stage, request_: bytes) -> None:
    alone.cluster.leave()
    client = alone.client()
    client.send(request_)
    alone.refuse(alone.dialled.pop())
    alone.wait(0.4)
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"\r\nconnection: close, gossamer-refused\r\n" in answer
    assert client.shut


def test_what_may_have_been_processed_is_not_refused(alone: h1_stage.Stage) -> None:
    alone.cluster.leave()
    client = alone.client()
    client.send(POST)
    alone.connect(alone.dialled.pop()).lose()
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"gossamer-refused" not in answer


def test_before_the_end_has_begun_nothing_is_refused(alone: h1_stage.Stage) -> None:
    client = alone.client()
    client.send(GET)
    alone.refuse(alone.dialled.pop())
    alone.wait(0.4)
    assert client.take() == b""
    alone.wait(3.0)
    assert b"gossamer-refused" not in client.take()


# ---- HTTP/2, where the protocol has a word for it


def test_over_http2(make_stage: MakeStage) -> None:
    stage: Stage = make_stage(endpoints=1)
    for up in list(stage.ups):
        up.hang_up()
    stage.cluster.leave()
    down = stage.client()
    ids = [stage.request(down, GRPC_REQUEST), stage.request(down, GET_REQUEST)]
    stage.advance(0.5)
    for stream_id in ids:
        assert [heard.code for heard in down.hear("RST_STREAM", stream_id)] == [REFUSED_STREAM]
    assert stage.failures() == {"no-endpoint": 2}
    stage.check_idle()
