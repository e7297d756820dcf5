from __future__ import annotations

from proxy.relay.cluster import MAX_WAITING
from tests.playbook.stage import Stage


def test_fail_fast_counts_from_when_the_last_endpoint_went() -> None:
    stage = Stage(2)
    cluster = stage.cluster
    assert not cluster.fails_fast(stage.now + 2.9)
    assert cluster.fails_fast(stage.now + 3.0)
    first, second = stage.connect_all()
    assert not cluster.fails_fast(stage.now + 100)
    first.hang_up()
    assert not cluster.fails_fast(stage.now + 100)
    stage.now += 50
    second.hang_up()
    assert not cluster.fails_fast(stage.now + 2.9)
    assert cluster.fails_fast(stage.now + 3.0)
    stage.finish()


def test_a_late_request_waits_only_for_the_rest_of_the_time() -> None:
    stage = Stage(1)
    down = stage.client()
    stage.advance(2.5)
    one = stage.request(down)
    stage.advance(0.8)
    assert one in down.voice.ended
    stage.finish()


def test_those_who_wait_are_bounded() -> None:
    stage = Stage(1)
    for _ in range(11):
        down = stage.client()
        for _ in range(100):
            stage.request(down)
    assert len(stage.cluster.waiting) == MAX_WAITING
    assert stage.failures() == {"overload": 100}
    stage.finish()


def test_they_are_served_in_their_order() -> None:
    stage = Stage(1)
    down = stage.client()
    for at in range(50):
        stage.request(down, body=b"%02d" % at)
    up = stage.connect(stage.dialled[0])
    assert [up.body(there) for there in range(1, 101, 2)] == [b"%02d" % at for at in range(50)]
    stage.finish()


def test_an_endpoint_that_allows_nothing_does_not_lose_those_who_waited() -> None:
    stage = Stage(1)
    down = stage.client()
    ids = [stage.request(down) for _ in range(5)]
    up = stage.connect(stage.dialled[0], {3: 0})
    assert not stage.cluster.waiting
    assert stage.pending() == [5]
    up.hang_up()
    assert len(stage.cluster.waiting) == 5
    assert stage.pending() == [0]
    stage.connect(stage.dialled[0])
    assert all(stage.where(down, stream_id) for stream_id in ids)
    stage.finish()
