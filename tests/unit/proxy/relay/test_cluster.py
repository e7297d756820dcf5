from __future__ import annotations

from proxy.balance.endpoint import Endpoint
from proxy.relay.cluster import MAX_WAITING
from proxy.relay.link import Link
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


def test_who_waits_for_a_closed_port_is_told_at_once_and_served_once_it_is_open() -> None:
    stage = Stage(1)
    down = stage.client()
    one = stage.request(down)
    stage.cluster.give_up(stage.now)
    stage.flush()
    assert one in down.voice.ended
    two = stage.request(down)
    stage.flush()
    assert two in down.voice.ended
    assert stage.failures() == {"no-endpoint": 2}
    stage.connect_all()
    stage.cluster.give_up(stage.now)  # too late to be true
    three = stage.request(down)
    assert stage.where(down, three)
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


def test_where_all_have_answered_that_they_speak_no_http2_nobody_waits() -> None:
    stage = Stage(2)
    first, second = stage.endpoints
    down = stage.client()
    one = stage.request(down)
    stage.cluster.last_error = "127.0.0.1:2: it answered in HTTP/1.1"
    stage.cluster.refuse(first, True, stage.now)
    assert not down.hear("HEADERS", one)
    stage.cluster.refuse(second, True, stage.now)
    stage.flush()
    answer = down.hear("HEADERS", one)[0]
    assert answer.header("gossamer-error") == "wrong-protocol"
    assert "HTTP/1.1" in (answer.header("grpc-message") or "")
    two = stage.request(down)
    assert two in down.voice.ended
    assert stage.failures() == {"wrong-protocol": 2}
    stage.finish()


def test_an_end_without_a_word_means_it_the_second_time() -> None:
    stage = Stage(1)
    (endpoint,) = stage.endpoints
    for _ in range(3):
        stage.cluster.refuse(endpoint, False, stage.now)
        assert not stage.cluster.is_refused
        stage.cluster.forgive(endpoint)
    for expected in (False, True):
        stage.cluster.refuse(endpoint, False, stage.now)
        assert stage.cluster.is_refused is expected
    assert stage.cluster.fails_fast(stage.now)
    stage.cluster.forgive(endpoint)
    assert not stage.cluster.fails_fast(stage.now)
    stage.finish()


def test_what_endpoints_said_is_forgotten_with_them_and_once_they_are_ready() -> None:
    stage = Stage(2)
    first, second = stage.endpoints
    for endpoint in (first, second):
        stage.cluster.refuse(endpoint, True, stage.now)
    stage.connect(first.link)
    assert not stage.cluster.is_refused
    assert list(stage.cluster.refusals) == [second]
    stage.cluster.balancer.replace([first])
    stage.cluster.refresh(stage.now)
    assert not stage.cluster.refusals
    stage.finish()


def test_a_new_endpoint_is_waited_for() -> None:
    stage = Stage(1)
    stage.cluster.refuse(stage.endpoints[0], True, stage.now)
    new = Endpoint(("127.0.0.1", 9))
    Link(stage.cluster, new, stage.dialled.append)
    stage.cluster.balancer.replace([*stage.endpoints, new])
    stage.cluster.refresh(stage.now)
    assert not stage.cluster.is_refused
    stage.endpoints.append(new)
    stage.finish()


def test_the_pod_s_own_application_at_its_end_refuses_nothing() -> None:
    stage = Stage(1)
    stage.cluster.leave()
    stage.cluster.refuse(stage.endpoints[0], True, stage.now)
    assert not stage.cluster.is_refused
    stage.finish()
