from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.playbook.h1_stage import GET, OK, POST, Stage

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


def test_a_request_and_its_response(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    assert stage.ups[0].take() == GET
    stage.ups[0].send(OK)
    assert client.take() == OK
    assert stage.outcomes() == {(200, True): 1}
    assert stage.cluster.balancer.endpoints[0].estimate.known


def test_connections_are_kept_on_both_sides(stage: Stage) -> None:
    first, second = stage.client(), stage.client()
    for client in (first, second, first):
        client.send(GET)
        stage.ups[0].send(OK)
        assert client.take() == OK
    assert len(stage.ups) == 1


def test_as_many_connections_as_requests_at_once(stage: Stage) -> None:
    clients = [stage.client() for _ in range(3)]
    for client in clients:
        client.send(GET)
    assert len(stage.ups) == 3
    for up in stage.ups:
        up.send(OK)
    assert [client.take() for client in clients] == [OK] * 3
    assert len(stage.cluster.balancer.endpoints[0].link.idle) == 3


def test_requests_are_balanced_one_by_one(make: MakeStage) -> None:
    stage = make(count=3)
    client = stage.client()
    for _ in range(60):
        client.send(GET)
        next(up for up in stage.ups if up.take()).send(OK)
    assert len(stage.ups) == 3
    assert client.take() == OK * 60


def test_pipelined_requests_are_answered_in_their_order(stage: Stage) -> None:
    client = stage.client()
    client.send(GET + POST + GET)
    assert not client.reading
    up = stage.ups[0]
    for request in (GET, POST, GET):
        assert up.take() == request
        up.send(OK)
    assert client.take() == OK * 3
    assert client.reading


def test_a_body_both_ways_in_pieces(stage: Stage) -> None:
    client = stage.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", b"c\r\n0\r\nT: 1\r\n\r\n")
    up = stage.ups[0]
    head = b"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    assert up.take() == head + b"2\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n"
    up.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n", b"de\r\n0\r\n", b"U: 2\r\n\r\n")
    assert client.take() == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nde\r\n0\r\nU: 2\r\n\r\n"
    client.send(GET)
    assert up.take() == GET


def test_a_response_until_close_is_chunked_for_the_client(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    stage.ups[0].send(b"HTTP/1.0 200 OK\r\nX: 1\r\n\r\nabc")
    stage.ups[0].end()
    assert client.take() == b"HTTP/1.1 200 OK\r\nX: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert not client.shut
    assert stage.ups[0].shut
    assert stage.outcomes() == {(200, True): 1}


def test_a_reset_does_not_end_a_response_until_close(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    stage.ups[0].send(b"HTTP/1.1 200 OK\r\n\r\nabc")
    stage.ups[0].lose()
    assert client.take().endswith(b"3\r\nabc\r\n")
    assert client.conn.aborted
    assert stage.outcomes() == {(200, False): 1}


@pytest.mark.parametrize("keeps", [False, True])
def test_http_1_0_clients(stage: Stage, keeps: bool) -> None:
    client = stage.client()
    line = b"Connection: keep-alive\r\n" if keeps else b""
    client.send(b"GET / HTTP/1.0\r\nHost: a\r\n" + line + b"\r\n")
    assert stage.ups[0].take() == GET
    stage.ups[0].send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    option = b"connection: keep-alive" if keeps else b"connection: close"
    assert client.take() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + option + b"\r\n\r\nok"
    assert client.shut is not keeps


def test_an_http_1_0_client_gets_chunks_as_bytes_until_close(stage: Stage) -> None:
    client = stage.client()
    client.send(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    stage.ups[0].send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nT: 1\r\n\r\n")
    assert client.take() == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab"
    assert client.shut
    assert len(stage.cluster.balancer.endpoints[0].link.idle) == 1


def test_head(stage: Stage) -> None:
    client = stage.client()
    request = GET.replace(b"GET", b"HEAD")
    for _ in range(2):
        client.send(request)
        stage.ups[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    assert client.take() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" * 2


def test_expect_and_interim_responses_pass(stage: Stage) -> None:
    client = stage.client()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    client.send(head)
    up = stage.ups[0]
    assert up.take() == head
    up.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hi")
    assert up.take() == b"hi"
    up.send(OK)
    assert client.take() == OK


def test_an_early_response_ends_both_connections(stage: Stage) -> None:
    client = stage.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200\r\n\r\nx")
    stage.ups[0].send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert client.take() == b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nconnection: close\r\n\r\n"
    assert client.shut
    assert stage.ups[0].shut


UPLOAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


def test_an_endpoint_that_answers_well_gets_the_rest_of_the_request(stage: Stage) -> None:
    client = stage.client()
    client.send(UPLOAD + b"a")
    up = stage.ups[0]
    up.send(OK)
    assert client.take() == OK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    stage.wait(4.0)
    client.send(b"bc")
    stage.wait(4.0)
    assert up.take() == UPLOAD + b"abc"
    assert not client.shut
    client.send(b"d")
    assert up.take() == b"d"
    assert client.shut
    assert up.shut
    assert not up.conn.aborted
    assert stage.outcomes() == {(200, True): 1}
    assert not stage.relay.deadlines


def test_but_not_for_ever(stage: Stage) -> None:
    client = stage.client()
    client.send(UPLOAD)
    stage.ups[0].send(OK)
    stage.wait(5.2)
    assert client.shut
    assert stage.ups[0].conn.aborted


def test_nor_from_who_sends_a_little_now_and_then(stage: Stage) -> None:
    client = stage.client()
    client.send(UPLOAD.replace(b"4", b"400"))
    stage.ups[0].send(OK)
    for _ in range(7):
        assert not client.shut
        client.send(b"x")
        stage.wait(4.0)
    assert not client.shut
    stage.wait(2.2)
    assert client.shut


@pytest.mark.parametrize("how", ["client lost", "client ended", "endpoint lost", "endpoint ended", "rubbish"])
def test_either_side_may_end_it(stage: Stage, how: str) -> None:
    client = stage.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    up = stage.ups[0]
    up.send(OK)
    if how == "rubbish":
        client.send(b"rubbish")
    else:
        wire = client if how.startswith("client") else up
        (wire.lose if how.endswith("lost") else wire.end)()
    assert client.conn.closed
    assert up.conn.closed
    assert not stage.relay.deadlines
    assert stage.outcomes() == {(200, True): 1}


@pytest.mark.parametrize(
    ("request_", "status", "again"),
    [
        (POST, b"200 OK", True),
        (POST.replace(b"POST", b"PUT"), b"200 OK", True),
        (GET, b"404 No", True),
        (POST, b"501 No", False),
        (POST, b"404 No", False),
        (POST.replace(b"POST", b"GET"), b"200 OK", False),
        (POST.replace(b"POST", b"DELETE"), b"200 OK", False),
        (POST.replace(b"POST", b"OPTIONS"), b"200 OK", False),
    ],
)
def test_a_body_that_was_not_read_is_no_second_request(
    stage: Stage, request_: bytes, status: bytes, again: bool
) -> None:
    """Its answer would go to the next client."""
    client = stage.client()
    client.send(request_)
    stage.ups[0].send(OK.replace(b"200 OK", status))
    assert client.take().endswith(b"ok")
    assert not client.shut
    client.send(GET)
    assert len(stage.ups) == (1 if again else 2)
    assert stage.ups[0].shut is not again


def test_what_comes_after_a_response_is_nobodys(stage: Stage) -> None:
    """Response splitting: the surplus must not answer the next request."""
    client = stage.client()
    client.send(GET)
    stage.ups[0].send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert client.take() == OK
    client.send(GET)
    assert len(stage.ups) == 2
    stage.ups[1].send(OK)
    assert client.take() == OK


def test_a_byte_on_an_idle_connection_ends_it(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    stage.ups[0].send(OK)
    stage.ups[0].send(b"H")
    assert stage.ups[0].shut
    assert stage.tally.faults == [("upstream", "bytes after a response")]


@pytest.mark.parametrize("who", ["client", "endpoint"])
def test_close_is_obeyed(stage: Stage, who: str) -> None:
    client = stage.client()
    close = b"Connection: close\r\n\r\n"
    client.send(GET[:-2] + close if who == "client" else GET)
    assert stage.ups[0].take() == GET
    stage.ups[0].send(OK.replace(b"\r\n\r\n", b"\r\n" + close) if who == "endpoint" else OK)
    option = b"connection: close\r\n" if who == "client" else b""
    assert client.take() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + option + b"\r\nok"
    assert client.shut is (who == "client")
    assert stage.ups[0].shut is (who == "endpoint")


def test_websocket_is_a_tunnel_with_two_ends(stage: Stage) -> None:
    client = stage.client()
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    client.send(request, b"early")
    up = stage.ups[0]
    assert up.take() == b"GET / HTTP/1.1\r\nHost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    switch = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    up.send(switch + b"\x81\x01a")
    assert client.take() == switch + b"\x81\x01a"
    assert up.take() == b"early"
    client.send(b"\x81\x01b")
    assert up.take() == b"\x81\x01b"
    up.end()
    assert client.conn.finishing
    assert stage.cluster.balancer.endpoints[0].pending == 1
    client.send(b"last")
    assert up.take() == b"last"
    client.end()
    assert client.shut
    assert up.shut
    assert stage.outcomes() == {(101, True): 1}


def test_tunnels_leave_their_place_to_requests(stage: Stage) -> None:
    client = stage.client()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    link = stage.cluster.balancer.endpoints[0].link
    assert link.conns == 1
    stage.ups[0].send(b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    assert link.conns == 0
    assert not link.members
    client.send(b"\x81\x01b")
    assert stage.ups[0].take().endswith(b"\x81\x01b")
    stage.ups[0].lose()
    assert client.conn.aborted
    assert link.conns == 0


def test_a_tunnel_that_breaks(stage: Stage) -> None:
    client = stage.client()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    stage.ups[0].send(b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    client.lose()
    assert stage.ups[0].conn.aborted


def test_h2c_is_no_tunnel(stage: Stage) -> None:
    client = stage.client()
    client.send(
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"
    )
    assert stage.ups[0].take() == GET
    stage.ups[0].send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
    assert client.take().startswith(b"HTTP/1.1 502 ")


def test_connect_is_refused(stage: Stage) -> None:
    client = stage.client()
    client.send(b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.take().startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    client.send(GET)
    stage.ups[0].send(OK)
    assert client.take() == OK


def test_a_slow_client_pauses_the_endpoint(stage: Stage) -> None:
    client = stage.client()
    client.send(GET)
    up = stage.ups[0]
    up.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na")
    client.block()
    assert not up.reading
    client.unblock()
    assert up.reading
    up.send(b"bc")
    assert client.take().endswith(b"abc")


def test_a_slow_endpoint_pauses_the_client(stage: Stage) -> None:
    client = stage.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
    up = stage.ups[0]
    up.block()
    assert not client.reading
    up.unblock()
    client.send(b"bc")
    assert up.take().endswith(b"\r\n\r\nabc")
    up.send(OK)


def test_the_next_request_waits_for_a_client_that_does_not_read(stage: Stage) -> None:
    client = stage.client()
    client.send(GET + GET)
    stage.ups[0].take()
    client.block()
    stage.ups[0].conn.resume()
    stage.flush()
    stage.ups[0].send(OK)
    assert stage.ups[0].take() == b""
    client.unblock()
    assert stage.ups[0].take() == GET


def test_a_body_waits_bounded_for_a_connection(make: MakeStage) -> None:
    stage = make(dials=False)
    client = stage.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
    client.send(b"x" * 70_000)
    assert not client.reading
    up = stage.connect(stage.dialled.pop())
    assert client.reading
    client.send(b"y" * 30_000)
    assert up.take().endswith(b"x" * 70_000 + b"y" * 30_000)
    up.send(OK)
    assert client.take() == OK


def test_draining(stage: Stage) -> None:
    busy, idle = stage.client(), stage.client()
    busy.send(GET)
    for wire in (busy, idle):
        wire.conn.drain(stage.now)  # type: ignore[attr-defined]
    stage.ups[0].send(OK)
    assert busy.take() == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nconnection: close\r\n\r\nok"
    assert busy.shut
    idle.send(GET)
    stage.ups[0].send(OK)
    assert b"connection: close" in idle.take()
    assert idle.shut


def test_no_route(stage: Stage) -> None:
    client = stage.client()
    client.send(GET.replace(b"/ ", b"/nowhere "))
    head, _, body = client.take().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"\r\ngossamer-error: no-route" in head
    assert body == b"gossamer: no route matches the request's authority and path: a\n"
    client.send(GET)
    stage.ups[0].send(OK)
    assert client.take() == OK
    assert stage.outcomes() == {(404, False): 1, (200, True): 1}


def test_faults_are_answered_and_end_the_connection(stage: Stage) -> None:
    for request, status in (
        (b"GET / HTTP/3.0\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 50_000, b"414"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
    ):
        client = stage.client()
        client.send(request)
        assert client.take().startswith(b"HTTP/1.1 " + status)
        assert client.shut
    assert len(stage.tally.faults) == len(stage.tally.failures) == 4


def test_a_fault_in_a_body_ends_the_request(stage: Stage) -> None:
    client = stage.client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", b"zz\r\n")
    assert client.take().startswith(b"HTTP/1.1 400 ")
    assert client.shut
    assert stage.ups[0].conn.aborted
    assert stage.ups[0].take().endswith(b"1\r\na\r\n")
