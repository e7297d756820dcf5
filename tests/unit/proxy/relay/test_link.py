from __future__ import annotations

from proxy.relay.cluster import MAX_WAITING
from proxy.relay.link import MAX_CONNECTIONS
from tests.playbook.stage import Stage

MAX_CONCURRENT_STREAMS = 3


def test_it_dials_once_at_a_time() -> None:
    stage = Stage(1)
    link = stage.endpoints[0].link
    link.dial_more()
    assert stage.dialled == [link]
    link.dialling = False
    link.removed = True
    link.dial_more()
    assert stage.dialled == [link]


def test_an_endpoint_is_ready_while_it_has_a_connection() -> None:
    stage = Stage(1)
    link = stage.endpoints[0].link
    assert not stage.endpoints[0].ready
    first = stage.connect(link)
    assert stage.endpoints[0].ready
    link.dial_more()
    second = stage.connect(link)
    first.hang_up()
    assert stage.endpoints[0].ready
    assert link.current is second.conn
    second.hang_up()
    assert not stage.endpoints[0].ready
    assert link.current is None
    assert stage.dialled == [link]


def test_a_connection_without_settings_gets_no_request() -> None:
    stage = Stage(1)
    link = stage.endpoints[0].link
    down = stage.client()
    stage.request(down)
    assert not link.conns
    assert len(stage.cluster.waiting) == 1
    stage.finish()


def test_connections_and_those_who_wait_are_bounded() -> None:
    stage = Stage(1)
    link = stage.endpoints[0].link
    stage.connect(link, {MAX_CONCURRENT_STREAMS: 1})
    clients = [stage.client() for _ in range(12)]
    for down in clients:
        for _ in range(100):
            stage.request(down)
    assert len(link.waiting) == MAX_WAITING
    assert stage.failures() == {"overload": 12 * 100 - 1 - MAX_WAITING}
    for _ in range(MAX_CONNECTIONS - 1):
        stage.connect(link, {MAX_CONCURRENT_STREAMS: 1})
    assert not stage.dialled
    assert len(link.waiting) == MAX_WAITING - MAX_CONNECTIONS + 1
    for down in clients:
        down.hang_up()
    assert not link.waiting
    stage.finish()


def test_a_removed_endpoint_finishes_what_it_has() -> None:
    stage = Stage(1)
    link = stage.endpoints[0].link
    up = stage.connect(link)
    down = stage.client()
    one = stage.request(down)
    link.removed = True
    stage.cluster.balancer.replace([])
    up.conn.retire(stage.now)
    assert not up.lost
    assert not stage.dialled
    up.feed(up.voice.headers(1, [(":status", "200"), ("grpc-status", "0")], end=True))
    assert one in down.voice.ended
    assert up.lost
    stage.finish()


def test_retire_twice_is_retire_once() -> None:
    stage = Stage(2)
    first, _ = stage.connect_all()
    first.conn.retire(stage.now)
    first.conn.retire(stage.now)
    stage.flush()
    assert first.lost
    assert len(stage.dialled) == 1
    stage.finish()
