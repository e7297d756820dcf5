from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.relay.http1.link import IDLE_S, MAX_IDLE, Link
from tests.playbook.h1_stage import GET, OK, POST, Stage, Wire

MakeStage = Callable[..., Stage]


@pytest.fixture
def make() -> Iterator[MakeStage]:
    stages: list[Stage] = []

    def make(**kwargs: Any) -> Stage:
        stages.append(Stage(**kwargs))
        return stages[-1]

    yield make
    for stage in stages:
        stage.finish()


@pytest.fixture
def stage(make: MakeStage) -> Stage:
    return make()


def warm(stage: Stage, client: Wire) -> Wire:
    """A connection to the endpoint that has served a request and is idle."""
    client.send(GET)
    stage.ups[-1].send(OK)
    client.take()
    stage.ups[-1].take()
    return stage.ups[-1]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"])
@pytest.mark.parametrize("how", ["end", "lose"])
def test_what_is_idempotent_is_sent_again_where_the_connection_had_been_idle(
    stage: Stage, method: bytes, how: str
) -> None:
    client = stage.client()
    up = warm(stage, client)
    request = GET.replace(b"GET", method)
    client.send(request)
    assert up.take() == request
    getattr(up, how)()
    assert len(stage.ups) == 2
    assert stage.ups[1].take() == request
    assert client.take() == b""
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    stage.ups[1].send(answer)
    assert client.take() == answer
    assert stage.tally.replays == 1


def reach(stage: Stage, client: Wire) -> Wire:
    """Where a request of the client's goes."""
    client.send(GET)
    return next(up for up in stage.ups if up.take() == GET)


def warm_both(stage: Stage, client: Wire) -> Wire:
    """Each of two endpoints has a connection that has served, and is idle; the latest of these."""
    for _ in range(4):
        up = reach(stage, client)
        up.send(OK)
        client.take()
    return up


@pytest.mark.parametrize("is_other_ready", [True, False])
def test_another_endpoint_gets_it_where_one_is_ready(make: MakeStage, is_other_ready: bool) -> None:
    """What ends its connections may be about to end itself."""
    stage = make(count=2)
    client = stage.client()
    up = warm_both(stage, client)
    assert len({one.conn.link.endpoint for one in stage.ups}) == 2
    if not is_other_ready:
        for one in stage.cluster.balancer.endpoints:
            stage.cluster.set_ready(one, one is up.conn.link.endpoint, stage.now)
    first = reach(stage, client)
    first.end()
    again = next(one for one in stage.ups if one.take() == GET)
    assert (again.conn.link is not first.conn.link) is is_other_ready
    again.send(OK)
    assert client.take() == OK


@pytest.mark.parametrize(("request_bytes", "goes_on"), [(GET, True), (POST, False)])
def test_what_is_lost_on_a_new_connection_goes_to_another_endpoint(
    make: MakeStage, request_bytes: bytes, goes_on: bool
) -> None:
    """One that is about to end takes connections, and closes them unread. It has failed all the same."""
    stage = make(count=2)
    client = stage.client()
    client.send(request_bytes)
    (first,) = stage.ups
    assert first.take() == request_bytes
    first.end()
    assert first.conn.link.endpoint.breaker.faults(stage.now) == 1
    assert list(stage.relay.suspects) == [first.conn.link]
    reached = [up for up in stage.ups if up.take() == request_bytes]
    assert len(reached) == goes_on
    if goes_on:
        assert reached[0].conn.link is not first.conn.link
        reached[0].end()
        assert [up for up in stage.ups if up.take()] == []
    assert client.take().startswith(b"HTTP/1.1 502 ")


def test_with_its_body_as_long_as_that_is_kept(stage: Stage) -> None:
    client = stage.client()
    for size, kept in ((60_000, True), (70_000, False)):
        up = warm(stage, client)
        request = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (size + 1) + b"x" * size
        client.send(request)
        assert up.take() == request
        up.lose()
        if kept:
            client.send(b"y")
            assert stage.ups[-1].take() == request + b"y"
            stage.ups[-1].send(OK)
            assert client.take() == OK
        else:
            assert client.take().startswith(b"HTTP/1.1 502 ")


def test_a_post_is_not_sent_again(stage: Stage) -> None:
    client = stage.client()
    up = warm(stage, client)
    client.send(POST)
    up.end()
    assert client.take().startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert not client.shut
    assert len(stage.ups) == 1
    assert stage.cluster.balancer.endpoints[0].breaker.faults(stage.now) == 0


def test_a_post_does_not_go_where_the_end_has_come_already(stage: Stage) -> None:
    client = stage.client()
    up = warm(stage, client)
    up.stale = True
    client.send(POST)
    assert up.shut
    assert up.take() == b""
    assert stage.ups[1].take() == POST
    stage.ups[1].send(OK)
    assert client.take() == OK


def test_nothing_is_sent_a_third_time(stage: Stage) -> None:
    client = stage.client()
    up = warm(stage, client)
    client.send(GET)
    up.end()
    stage.ups[1].end()
    assert client.take().startswith(b"HTTP/1.1 502 ")
    assert len(stage.ups) == 2
    assert stage.cluster.balancer.endpoints[0].breaker.faults(stage.now) == 1


def test_nothing_is_sent_again_on_a_connection_that_had_been_idle(stage: Stage) -> None:
    clients = [stage.client(), stage.client()]
    for client in clients:
        client.send(GET)
    for up in stage.ups:
        up.send(OK)
    clients[0].take()
    clients[0].send(GET)
    stage.ups[1].end()
    assert len(stage.ups) == 3
    stage.ups[2].send(OK)
    assert clients[0].take() == OK


def test_nothing_is_sent_again_after_a_byte_of_the_response(stage: Stage) -> None:
    client = stage.client()
    up = warm(stage, client)
    client.send(GET)
    up.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    up.lose()
    assert client.take().startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 ")
    client.send(GET)
    stage.ups[1].send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    stage.ups[1].lose()
    assert client.conn.aborted


def test_who_waits_for_an_endpoint_that_refuses_goes_to_another(make: MakeStage) -> None:
    stage = make(count=2, dials=False)
    client = stage.client()
    client.send(POST)
    refused = stage.dialled.pop()
    stage.refuse(refused)
    assert refused.endpoint.rtt(stage.now) == 0.0  # that somebody has waited there says nothing of who comes back
    assert len(stage.dialled) == 2  # the one that refused is tried again, and the other is dialled
    other = next(link for link in stage.dialled if not link.failures)
    up = stage.connect(other)
    assert up.take() == POST
    up.send(OK)
    assert client.take() == OK


def test_an_endpoint_that_takes_connections_again_is_used_again(make: MakeStage) -> None:
    stage = make(dials=False)
    client = stage.client()
    client.send(POST)
    link = stage.dialled.pop()
    stage.refuse(link)
    assert not link.endpoint.ready
    stage.wait(1.0)
    assert client.take() == b""
    up = stage.connect(stage.dialled.pop())
    assert link.endpoint.ready
    assert up.take() == POST
    up.send(OK)
    assert client.take() == OK


def test_no_endpoint_takes_connections(make: MakeStage) -> None:
    stage = make(dials=False)
    client = stage.client()
    client.send(GET)
    stage.refuse(stage.dialled.pop())
    stage.wait(3.2)
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"gossamer-error: connect-failed" in answer
    assert b"connection refused" in answer
    client.send(GET)
    assert b"gossamer-error: no-endpoint" in client.take()


def test_a_retry_that_reaches_nobody_else_goes_back(make: MakeStage) -> None:
    """Whose idle connection has ended may well be there."""
    stage = make(count=2)
    client = stage.client()
    warm_both(stage, client)
    first = reach(stage, client)
    (other,) = set(stage.ups) - {first}
    other.end()
    stage.dials = False
    first.end()
    assert stage.dialled == [other.conn.link]
    stage.refuse(stage.dialled.pop())
    again = stage.connect(next(link for link in stage.dialled if link is first.conn.link))
    assert again.take() == GET
    again.send(OK)
    assert client.take() == OK


def test_many_that_cannot_be_reached_take_no_longer_than_one(make: MakeStage) -> None:
    stage = make(count=20, dials=False)
    client = stage.client()
    client.send(GET)
    for _ in range(3):
        assert client.take() == b""
        stage.wait(1.0)
        for link in stage.dialled[:]:
            stage.dialled.remove(link)
            link.failed("10.0.0.1:1: connect timed out", stage.now)
    stage.wait(1.2)
    assert b"gossamer-error: connect-failed" in client.take()


def test_but_whoever_is_reached_then_has_time_to_answer(make: MakeStage) -> None:
    stage = make(count=2, dials=False)
    clients = [stage.client() for _ in range(4)]
    for client in clients:
        client.send(GET)
    first, second = dict.fromkeys(stage.dialled)

    def refuse_all(link: Link) -> None:
        while link.endpoint.ready or link.dialling > 1:
            stage.dialled.remove(link)
            stage.refuse(link)

    refuse_all(first)
    stage.wait(2.8)
    refuse_all(second)
    stage.wait(1.0)
    stage.dialled.remove(first)
    stage.connect(first)
    stage.wait(0.2)
    while first in stage.dialled:
        stage.dialled.remove(first)
        stage.connect(first)
    for up in stage.ups:
        up.send(OK)
    assert [client.take() for client in clients] == [OK] * 4


def test_who_has_answered_without_a_body_has_answered(make: MakeStage) -> None:
    stage = make()
    first, second = stage.client(), stage.client()
    first.send(GET)
    stage.dials = False
    second.send(POST)
    (up,) = stage.ups
    up.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    first.send(GET)
    assert up.take() == GET + POST
    up.end()
    assert second.take().startswith(b"HTTP/1.1 502 ")
    assert stage.cluster.balancer.endpoints[0].breaker.faults(stage.now) == 0


@pytest.mark.parametrize("ends", ["the client goes", "the route's timeout", "the dial fails"])
def test_who_waits_for_a_dial_in_vain_says_nothing_of_who_answers_then(make: MakeStage, ends: str) -> None:
    stage = make(count=2, dials=False, timeout_s=0.5)
    clients = [stage.client() for _ in range(20)]
    for client in clients:
        client.send(GET)
    if ends == "the client goes":
        for client in clients:
            client.lose()
    elif ends == "the route's timeout":
        stage.wait(0.7)
        assert all(b"gossamer-error: timeout" in client.take() for client in clients)
        assert all(endpoint.rtt(stage.now) > 1.0 for endpoint in stage.cluster.balancer.endpoints)
    for link in stage.dialled[:]:
        stage.dialled.remove(link)
        if ends == "the dial fails":
            link.failed("10.0.0.1:1: connect timed out", stage.now)
            stage.flush()
        else:
            stage.connect(link)
    for endpoint in stage.cluster.balancer.endpoints:
        assert endpoint.rtt(stage.now) == 0.0
        assert endpoint.breaker.faults(stage.now) == 0


def test_who_ends_each_connection_at_its_first_request_fails_however_long_it_was_idle(stage: Stage) -> None:
    client = stage.client()
    endpoint = stage.cluster.balancer.endpoints[0]
    for lost in range(1, 4):
        client.send(POST)
        stage.ups[-1].end()
        assert client.take().startswith(b"HTTP/1.1 502 ")
        assert endpoint.breaker.faults(stage.now) == lost
        endpoint.link.seek()
        assert len(endpoint.link.idle) == 1
        stage.wait(1.0)


def test_who_crashes_at_each_request_is_ejected_though_it_is_back_each_time(make: MakeStage) -> None:
    stage = make(count=3)
    client = stage.client()
    endpoint = stage.cluster.balancer.endpoints[0]
    link = endpoint.link
    for _ in range(200):
        client.send(POST)
        up = next(up for up in stage.ups if up.take() == POST)
        if up.conn.link is not link:
            up.send(OK)
        else:
            up.end()
            stage.dials = False
            link.seek()
            stage.refuse(stage.dialled.pop())
            stage.connect(stage.dialled.pop())
            stage.dials = True
        client.take()
        stage.now += 0.01
    assert endpoint.breaker.backoff_s > 0.0
    assert [status for (status, _), count in stage.outcomes().items() if count > 20] == [200]


def test_nobody_listens_where_the_application_itself_was_going(make: MakeStage) -> None:
    """It learns that at once, as it would without a mesh; and at once that somebody does."""
    stage = make(dials=False, is_foreign=True)
    clients = [stage.client() for _ in range(3)]
    for client in clients:
        client.send(GET)
    while stage.dialled:
        stage.refuse(stage.dialled.pop())
    for client in clients:
        answer = client.take()
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"gossamer-error: connect-failed" in answer
    for client in clients:
        client.send(GET)
    stage.refuse(stage.dialled.pop())
    assert all(b"gossamer-error: connect-failed" in client.take() for client in clients)
    for client in clients:
        client.send(GET)
    (link,) = stage.dialled
    stage.connect(link)
    assert stage.ups[0].take() == GET
    stage.ups[0].send(OK)
    assert clients[0].take() == OK


def test_a_foreign_server_that_is_slow_to_take_connections(make: MakeStage) -> None:
    stage = make(dials=False, is_foreign=True)
    client = stage.client()
    client.send(GET)
    stage.wait(2.0)
    stage.connect(stage.dialled.pop())
    stage.ups[0].send(OK)
    assert client.take() == OK


@pytest.mark.parametrize("banner", [b"2", b"HTTP/2", b"\x00", b"\r\n", b"HT\r\n\r\n", b"220 mail\r\n\r\n"])
def test_what_is_not_http_1_is_not_waited_for(stage: Stage, banner: bytes) -> None:
    client = stage.client()
    client.send(GET)
    stage.ups[0].send(banner)
    answer = client.take()
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"gossamer-error: bad-response" in answer
    assert stage.tally.faults == [("upstream", "not HTTP/1")]
    assert stage.ups[0].conn.aborted
    assert is_avoided(stage)


def is_avoided(stage: Stage) -> bool:
    """Whether the balancer knows that the only endpoint is at fault: its quick end must not look fast."""
    (endpoint,) = stage.cluster.balancer.endpoints
    return endpoint.breaker.faults(stage.now) == 1 and endpoint.rtt(stage.now) > 1.0


@pytest.mark.parametrize(
    ("begun", "reason"),
    [
        (b"H", "head too slow"),
        (b"HTTP/1.1 200 OK", "head too slow"),
        (b"HTTP/1.1 200 OK\r\nx: y\r\n", "head too slow"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx", "trailers too slow"),
    ],
)
def test_a_head_of_an_endpoint_that_does_not_come(stage: Stage, begun: bytes, reason: str) -> None:
    client = stage.client()
    client.send(GET)
    up = stage.ups[0]
    up.send(begun)
    up.conn.head_timed_out(stage.now)  # type: ignore[attr-defined]
    stage.flush()
    if reason.startswith("head"):
        answer = client.take()
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"gossamer-error: bad-response" in answer
        assert reason.encode() in answer
    else:
        assert client.conn.aborted
    assert up.conn.aborted
    assert stage.tally.faults == [("upstream", reason)]
    assert is_avoided(stage)


def test_half_a_head_is_no_end_of_an_idle_connection(stage: Stage) -> None:
    client = stage.client()
    up = warm(stage, client)
    client.send(GET)
    up.send(b"HTTP/1.1 2")
    up.end()
    assert b"gossamer-error: upstream-lost" in client.take()
    assert len(stage.ups) == 1
    assert is_avoided(stage)


def test_all_idle_connections_have_ended(stage: Stage) -> None:
    """Each request is sent twice at most, and none of them fails."""
    clients = [stage.client() for _ in range(20)]
    for client in clients:
        client.send(GET)
    for up in list(stage.ups):
        up.send(OK)
        up.take()
    for client in clients:
        client.take()
        client.send(GET)
    for up in list(stage.ups):
        assert up.take() == GET
        up.end()
    fresh = stage.ups[20:]
    assert len(fresh) == 20
    for up in fresh:
        assert up.take() == GET
        up.send(OK)
    assert [client.take() for client in clients] == [OK] * 20
    assert stage.tally.replays == 20


def test_a_dial_without_end(make: MakeStage) -> None:
    stage = make(dials=False)
    client = stage.client()
    client.send(GET)
    stage.wait(3.2)
    assert b"gossamer-error: connect-failed" in client.take()


def test_the_route_s_timeout(make: MakeStage) -> None:
    stage = make(timeout_s=1.0)
    client = stage.client()
    client.send(GET)
    stage.wait(1.2)
    assert client.take().startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert stage.ups[0].conn.aborted
    assert stage.cluster.balancer.endpoints[0].breaker.faults(stage.now) == 1
    client.send(GET)
    stage.ups[1].send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
    stage.wait(1.2)
    assert client.conn.aborted


def test_no_timeout_ends_a_tunnel(make: MakeStage) -> None:
    stage = make(timeout_s=1.0)
    client = stage.client()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    stage.ups[0].send(b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    stage.wait(5.0)
    assert not client.shut


def test_a_client_that_goes_takes_its_request_along(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    client.lose()
    assert stage.ups[0].conn.aborted
    assert stage.outcomes() == {(0, True): 1}


def test_a_client_that_has_said_all_gets_its_answer(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    client.end()
    assert not client.shut
    stage.ups[0].send(OK)
    assert client.take() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok"
    assert client.shut


def test_but_it_is_not_waited_for_without_end(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    client.end()
    stage.wait(5.2)
    assert client.shut
    assert client.take().startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert stage.ups[0].conn.aborted
    assert stage.cluster.balancer.endpoints[0].breaker.faults(stage.now) == 0


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_an_answer_that_has_begun_comes_to_its_end(stage: Stage, version: bytes) -> None:
    client = stage.client()
    client.send(GET.replace(b"1.1", version))
    client.end()
    stage.wait(4.0)
    stage.ups[0].send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
    stage.wait(60.0)
    assert not client.shut
    stage.ups[0].send(b"2\r\ncd\r\n0\r\n\r\n")
    assert client.take().endswith(b"2\r\ncd\r\n0\r\n\r\n" if version == b"1.1" else b"abcd")
    assert client.shut
    assert not client.conn.aborted


def test_or_is_broken_off_where_the_route_says_so(make: MakeStage) -> None:
    stage = make(timeout_s=8.0)
    client = stage.client()
    client.send(GET)
    client.end()
    stage.ups[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    stage.wait(7.5)
    assert not client.shut
    stage.wait(1.0)
    assert client.conn.aborted


def test_who_has_said_all_waits_for_an_endpoint_no_longer_than_others(make: MakeStage) -> None:
    stage = make(dials=False)
    client = stage.client()
    client.send(GET)
    stage.refuse(stage.dialled.pop())
    client.end()
    stage.wait(3.2)
    assert client.take().startswith(b"HTTP/1.1 502 ")
    assert client.shut


def test_the_only_endpoint_is_not_dialled_while_nobody_asks_for_it(make: MakeStage) -> None:
    """A scan of ports leaves nothing behind that dials."""
    stage = make(dials=False)
    client = stage.client()
    client.send(GET)
    while stage.dialled:
        stage.refuse(stage.dialled.pop())
        stage.wait(1.0)
        assert stage.now < 1_010.0
    assert client.take().startswith(b"HTTP/1.1 502 ")
    stage.wait(60.0)
    client.send(GET)
    (link,) = stage.dialled
    assert client.take() == b""
    stage.connect(link)
    assert stage.ups[0].take() == GET
    stage.ups[0].send(OK)
    assert client.take() == OK


def test_one_of_several_is(make: MakeStage) -> None:
    stage = make(count=2, dials=False)
    stage.client().send(GET)
    stage.refuse(stage.dialled.pop())
    stage.connect(stage.dialled.pop(0))
    for _ in range(30):
        stage.wait(1.0)
        stage.refuse(stage.dialled.pop())
    assert len(stage.dialled) == 1


def test_and_one_that_gets_company(make: MakeStage) -> None:
    stage = make(dials=False)
    client = stage.client()
    client.send(GET)
    while stage.dialled:
        stage.refuse(stage.dialled.pop())
        stage.wait(2.0)
        assert stage.now < 1_020.0
    stage.replace(2)
    assert [link.endpoint.address[1] for link in stage.dialled] == [1]


def test_an_end_in_the_middle_of_a_request_cancels_it(stage: Stage) -> None:
    client = stage.client()
    client.send(POST[:-1])
    client.end()
    assert client.shut
    assert stage.ups[0].conn.aborted


def test_an_end_between_requests(stage: Stage) -> None:
    client = stage.client()
    client.send(b"GET ")
    client.end()
    assert client.shut


@pytest.mark.parametrize(
    ("response", "faults"),
    [
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 1),
        (b"HTTP/1.1 429 No\r\nContent-Length: 0\r\nRetry-After: 3\r\n\r\n", 1),
        (b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n", 0),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 0),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 0),
    ],
)
def test_which_statuses_are_faults_of_the_endpoint(stage: Stage, response: bytes, faults: int) -> None:
    client = stage.client()
    client.send(GET)
    stage.ups[0].send(response)
    assert client.take() == response
    endpoint = stage.cluster.balancer.endpoints[0]
    assert endpoint.breaker.faults(stage.now) == faults
    status = int(response[9:12])
    assert stage.outcomes() == {(status, status < 500): 1}


def test_the_first_byte_is_the_latency(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    stage.wait(0.5)
    stage.ups[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    stage.wait(9.0)
    endpoint = stage.cluster.balancer.endpoints[0]
    assert endpoint.pending == 1
    stage.ups[0].send(b"ok")
    assert endpoint.estimate.rtt_s == pytest.approx(0.5)
    assert endpoint.pending == 0


def test_a_broken_response_is_a_502_and_a_fault(stage: Stage) -> None:
    client = stage.client()
    warm(stage, client)
    client.send(GET)
    stage.ups[0].send(b"SMTP ready\r\n\r\n")
    assert client.take().startswith(b"HTTP/1.1 502 ")
    assert stage.tally.failures == ["bad-response"]
    assert stage.tally.replays == 0


def test_idle_connections_are_closed_in_time(stage: Stage) -> None:
    client = stage.client()
    up = warm(stage, client)
    link = stage.cluster.balancer.endpoints[0].link
    stage.now += IDLE_S - 1
    link.close_idle(stage.now)
    assert not up.conn.closed
    stage.now += 2
    link.close_idle(stage.now)
    assert up.conn.closed
    assert link.conns == 0


def test_before_the_endpoint_closes_them(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    stage.ups[0].send(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5\r\n\r\n"))
    stage.now += 4.5
    stage.cluster.balancer.endpoints[0].link.close_idle(stage.now)
    assert stage.ups[0].conn.closed


def test_the_idle_ones_are_bounded(stage: Stage) -> None:
    clients = [stage.client() for _ in range(MAX_IDLE + 5)]
    for client in clients:
        client.send(GET)
    for up in list(stage.ups):
        up.send(OK)
    assert stage.cluster.balancer.endpoints[0].link.conns == MAX_IDLE


def test_an_endpoint_that_goes_finishes_what_it_has(make: MakeStage) -> None:
    stage = make(count=2)
    clients = [stage.client() for _ in range(10)]
    for client in clients:
        client.send(GET)
    for up in stage.ups[:5]:
        up.send(OK)
    stage.replace(0)
    assert all(up.conn.closed for up in stage.ups[:5])
    for up in stage.ups[5:]:
        up.send(OK)
        assert up.conn.closed
    assert [client.take() for client in clients] == [OK] * 10


def test_who_waits_when_the_endpoint_goes_waits_for_another(make: MakeStage) -> None:
    stage = make(dials=False)
    client = stage.client()
    client.send(GET)
    stage.replace(0)
    stage.dials = True
    stage.replace(2)
    stage.ups[0].send(OK)
    assert client.take() == OK


def test_a_head_that_does_not_come(stage: Stage) -> None:
    client = stage.client()
    client.send(b"GET / HT")
    client.conn.head_timed_out()  # type: ignore[attr-defined]
    stage.flush()
    assert client.take().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert client.shut


def test_a_new_route_is_taken_by_who_waits(make: MakeStage) -> None:
    stage = make(count=0)
    client = stage.client()
    client.send(GET)
    old = stage.cluster
    stage.cluster = type(old)("other", type(old.balancer)(), 3.0, stage.now)
    stage.replace(1)
    stage.relay.forget_decisions()
    old.serve(stage.now)
    stage.flush()
    stage.ups[0].send(OK)
    assert client.take() == OK


def test_a_new_route_takes_what_has_come_of_the_body_along(make: MakeStage) -> None:
    stage = make(count=0)
    client = stage.client()
    client.send(POST[:-1])
    old = stage.cluster
    stage.cluster = type(old)("other", type(old.balancer)(), 3.0, stage.now)
    stage.replace(1)
    stage.relay.forget_decisions()
    old.serve(stage.now)
    stage.flush()
    client.send(POST[-1:])
    assert stage.ups[0].take() == POST
    stage.ups[0].send(OK)
    assert client.take() == OK
