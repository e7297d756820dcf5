"""An endpoint of HTTP/1 that takes no more connections: requests that clients leave unfinished hold up nobody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.relay.cluster import MAX_WAITING
from proxy.relay.http1.link import MAX_CONNECTIONS, MAX_UNFINISHED
from tests.playbook.h1_stage import GET, OK, POST, Stage, Wire

UNFINISHED = POST.removesuffix(b"hi")


@pytest.fixture
def stage() -> Iterator[Stage]:
    """All the connections that requests may have which are not complete are taken by such."""
    made = Stage()
    for _ in range(MAX_UNFINISHED):
        made.client().send(UNFINISHED)
    assert len(made.ups) == MAX_UNFINISHED
    yield made
    made.finish()


def ask(stage: Stage, said: bytes) -> Wire:
    client = stage.client()
    client.send(said)
    return client


def test_one_more_waits_and_a_whole_one_does_not(stage: Stage) -> None:
    late = ask(stage, UNFINISHED)
    assert len(stage.ups) == MAX_UNFINISHED
    for said in (GET, POST):
        client = ask(stage, said)
        assert stage.ups[-1].take() == said
        stage.ups[-1].send(OK)
        assert client.take() == OK
    # The second had the connection of the first; the one that waits has neither.
    assert len(stage.ups) == MAX_UNFINISHED + 1
    assert late.take() == b""


def test_who_finishes_is_served_like_the_others(stage: Stage) -> None:
    late = ask(stage, UNFINISHED)
    stage.downs[0].send(b"hi")
    stage.ups[0].send(OK)
    assert stage.downs[0].take() == OK
    assert stage.ups[0].take().endswith(UNFINISHED)
    assert late.take() == b""


def test_one_that_becomes_whole_waits_no_more(stage: Stage) -> None:
    client = ask(stage, UNFINISHED)
    client.send(b"hi")
    assert stage.ups[-1].take() == POST
    stage.ups[-1].send(OK)
    assert client.take() == OK


def test_after_two_seconds_they_give_way(stage: Stage) -> None:
    """Those whose body comes in stay, and of those that wait they are the first."""
    stage.downs[0].send(b"h")
    stage.wait(1.9)
    first, second = ask(stage, UNFINISHED), ask(stage, UNFINISHED)
    second.send(b"h")
    stage.wait(0.2)
    begun = ask(stage, POST)
    told = [wire for wire in stage.downs if wire.sent.startswith(b"HTTP/1.1 408 ")]
    assert len(told) == 16
    assert all(wire.shut for wire in told)
    assert stage.tally.failures == ["request-stalled"] * 16
    assert begun.sent == b""
    assert stage.downs[0] not in told or stage.downs[0].conn.closed
    assert [wire.sent for wire in (first, second)] == [b"", b""]


def test_a_whole_one_takes_the_place_of_another_in_the_queue(stage: Stage) -> None:
    stage.cluster.balancer.endpoints[0].link.max_connections = MAX_CONNECTIONS  # as one of several has it
    queue = [ask(stage, UNFINISHED) for _ in range(MAX_WAITING)]
    for _ in range(MAX_CONNECTIONS - MAX_UNFINISHED):
        assert ask(stage, GET).sent == b""
    assert len(stage.ups) == MAX_CONNECTIONS
    assert len([wire for wire in queue if wire.sent.startswith(b"HTTP/1.1 503 ")]) == 1
    assert ask(stage, GET).sent == b""
    stage.ups[-1].send(OK)
    assert stage.ups[-1].take() == GET * 2


def test_a_newcomer_takes_the_place_of_who_has_sent_a_head_and_no_more(stage: Stage) -> None:
    """All of him may be in one packet, behind his head, which is read first."""
    queue = [ask(stage, UNFINISHED) for _ in range(MAX_WAITING)]
    whole = ask(stage, POST)
    assert whole.sent == b""  # it has a connection
    assert queue[0].sent.startswith(b"HTTP/1.1 503 ")
    assert [wire.sent for wire in queue[1:]] == [b""] * (MAX_WAITING - 1)
    for wire in [*queue[1:], ask(stage, UNFINISHED)]:
        wire.send(b"h")
    last = ask(stage, UNFINISHED)
    assert last.sent.startswith(b"HTTP/1.1 503 ")  # of all the others a part has come
    assert whole.sent == b""


def test_long_polls_keep_nobody_waiting_where_there_is_nothing_to_balance() -> None:
    """The room for clients bounds them: the only endpoint has as many connections as there are requests under way."""
    stage = Stage()
    for _ in range(MAX_CONNECTIONS + MAX_UNFINISHED):
        stage.client().send(GET)
    assert len(stage.ups) == MAX_CONNECTIONS + MAX_UNFINISHED
    client = ask(stage, UNFINISHED)
    assert stage.ups[-1].take() == UNFINISHED
    client.send(b"hi")
    stage.ups[-1].send(OK)
    assert client.take() == OK
    stage.finish()


def test_one_of_several_has_its_share() -> None:
    stage = Stage(count=2)
    for _ in range(2 * MAX_CONNECTIONS + 100):
        stage.client().send(GET)
    assert [endpoint.link.conns for endpoint in stage.cluster.balancer.endpoints] == [MAX_CONNECTIONS] * 2
    stage.finish()
