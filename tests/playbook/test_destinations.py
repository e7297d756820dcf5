"""Scripts of destinations that become known on demand: who waits, for how long, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.destinations import MAX_AWAITED
from proxy.relay.cluster import MAX_WAITING
from proxy.route.model import ANY_PATH, EXACT, PathMatch, Route
from tests.playbook.mesh import MeshStage, answer, to
from tests.playbook.stage import Wire
from tests.playbook.voice import GET_REQUEST, GRPC_REQUEST

UNSAID = "the control plane has not said where this destination is"


@pytest.fixture
def stage() -> Iterator[MeshStage]:
    made = MeshStage()
    yield made
    made.finish()


def failure(down: Wire, stream_id: int) -> tuple[str | None, str | None]:
    head = down.hear("HEADERS", stream_id)[0]
    assert stream_id in down.voice.ended
    return head.header("grpc-status"), head.header("grpc-message")


# ---- the first request


def test_the_first_request_waits_for_the_answer(stage: MeshStage) -> None:
    down = stage.client()
    one = stage.call(down, "Voting:8080")
    assert stage.control.wanted == ["voting:8080"]
    assert not down.hear("HEADERS")
    stage.control.tell("voting:8080", 1)
    stage.connect_all()
    assert answer(stage, down, one) == 1
    two = stage.call(down, "voting:8080")
    assert answer(stage, down, two) == 1
    assert not stage.failures()


def test_all_that_wait_are_served_in_their_order_with_their_bodies(stage: MeshStage) -> None:
    down = stage.client()
    ids = [stage.call(down, "voting:8080", body=b"%d" % number) for number in range(20)]
    other = stage.call(down, "web:80")
    stage.control.tell("voting:8080", 1)
    (up,) = stage.connect_all()
    assert [up.body(there) for there in range(1, 41, 2)] == [b"%d" % number for number in range(20)]
    assert len(ids) == len(up.hear("HEADERS"))
    assert other not in down.voice.ended
    stage.control.deny("web:80")
    assert other in down.voice.ended


def test_port_80_where_none_is_given(stage: MeshStage) -> None:
    down = stage.client()
    stage.call(down, "web")
    stage.call(down, "web.:80")
    stage.call(down, "[::1]")
    assert stage.control.wanted == ["web:80", "web:80", "[::1]:80"]
    stage.control.tell("web:80", 1)
    assert stage.control.wanted[3:] == ["web:80", "web:80"]
    stage.advance(4)


@pytest.mark.parametrize(
    "authority", ["web:0", "web:65536", "web:x", "*", "a/b", "::1", "[web]", "[", "%20", "a" * 300]
)
def test_what_is_no_name_is_not_asked_for(stage: MeshStage, authority: str) -> None:
    down = stage.client()
    one = stage.call(down, authority)
    assert not stage.control.wanted
    assert down.hear("HEADERS", one)[0].header("gossamer-error") == "no-route"


# ---- no answer


def test_after_250_ms_without_an_answer_it_fails(stage: MeshStage) -> None:
    down = stage.client()
    grpc = stage.call(down, "voting:8080")
    http = stage.request(down, to("voting:8080", GET_REQUEST))
    stage.advance(0.1)
    assert not down.hear("HEADERS")
    stage.advance(0.2)
    status, message = failure(down, grpc)
    assert status == "14"
    assert message == f"gossamer: {UNSAID}: voting:8080 (the control plane has not answered)"
    assert down.hear("HEADERS", http)[0].header(":status") == "503"
    assert stage.failures() == {"no-control-plane": 2}


def test_while_there_is_no_answer_the_next_ones_do_not_wait(stage: MeshStage) -> None:
    stage.control.connected = False
    stage.control.last_error = "connection refused"
    down = stage.client()
    stage.call(down, "voting:8080")
    stage.advance(1)
    two = stage.call(down, "voting:8080")
    reason = "the control plane cannot be reached: connection refused"
    assert failure(down, two) == ("14", f"gossamer: {UNSAID}: voting:8080 ({reason})")


def test_an_answer_that_comes_late_serves_the_next_request(stage: MeshStage) -> None:
    down = stage.client()
    one = stage.call(down, "voting:8080")
    stage.advance(5)
    assert one in down.voice.ended
    stage.control.tell("voting:8080", 1)
    stage.connect_all()
    assert answer(stage, down, stage.call(down, "voting:8080")) == 1


def test_why_there_is_no_answer_is_told_as_it_is_now(stage: MeshStage) -> None:
    down = stage.client()
    stage.call(down, "voting:8080")
    stage.advance(1)
    stage.control.connected = False
    stage.destinations.sweep(stage.now)
    two = stage.call(down, "voting:8080")
    assert "cannot be reached: no connection yet" in str(failure(down, two))


def test_what_does_not_exist_fails_at_once_and_is_not_forgotten(stage: MeshStage) -> None:
    down = stage.client()
    one = stage.call(down, "voting:8080")
    stage.control.deny("voting:8080")
    expected = "gossamer: the destination is not known: voting:8080 (the control plane says that there is none)"
    assert failure(down, one) == ("12", expected)
    two = stage.call(down, "voting:8080")
    assert failure(down, two) == ("12", expected)
    stage.control.tell("voting:8080", 1)
    stage.connect_all()
    assert answer(stage, down, stage.call(down, "voting:8080")) == 1


def test_what_is_no_longer_subscribed_is_asked_for_again(stage: MeshStage) -> None:
    down = stage.client()
    stage.control.tell("voting:8080", 1)
    (up,) = stage.connect_all()
    answer(stage, down, stage.call(down, "voting:8080"))
    stage.control.forget("voting:8080")
    assert up.lost
    assert not stage.clusters.by_name
    one = stage.call(down, "voting:8080")
    assert one not in down.voice.ended
    stage.control.tell("voting:8080", 1)
    stage.connect_all()
    assert answer(stage, down, one) == 1


# ---- while it waits


@pytest.mark.parametrize("leave", ["reset", "hang_up"])
def test_a_client_that_leaves(stage: MeshStage, leave: str) -> None:
    down = stage.client()
    one = stage.call(down, "voting:8080")
    if leave == "reset":
        down.feed(down.voice.rst(one))
    else:
        down.hang_up()
    stage.check_idle()
    stage.control.tell("voting:8080", 1)
    (up,) = stage.connect_all()
    assert not up.hear("HEADERS")


def test_a_client_whose_deadline_runs_out(stage: MeshStage) -> None:
    down = stage.client()
    one = stage.request(down, [*to("voting:8080"), ("grpc-timeout", "100m")])
    stage.advance(0.1)
    down.feed(down.voice.rst(one))
    stage.check_idle()
    assert stage.registry.render().count(b'grpc_status="4"') == 1


def test_a_body_that_waits_is_bounded_by_its_window(stage: MeshStage) -> None:
    down = stage.client()
    one = stage.call(down, "voting:8080", end=False)
    while down.voice.own_window(one) >= 16_384:
        down.feed(down.voice.data(one, b"x" * 16_384))
    assert not down.hear("WINDOW_UPDATE", one)
    stage.control.tell("voting:8080", 1)
    (up,) = stage.connect_all()
    up.feed(up.voice.window(0, 10**6) + up.voice.window(1, 10**6))
    assert up.body(1) == b"x" * 65_536
    assert down.hear("WINDOW_UPDATE", one)


def test_those_who_wait_are_bounded_over_all_names(stage: MeshStage) -> None:
    for number in range(11):
        down = stage.client()
        for stream in range(100):
            stage.call(down, f"s{stream % 7}-{number}:80")
    assert len(stage.destinations.waiting) == MAX_WAITING
    assert stage.failures() == {"overload": 100}
    stage.advance(0.4)
    assert stage.failures() == {"overload": 100, "no-control-plane": 1_000}


def test_the_route_s_timeout_counts_from_the_beginning(stage: MeshStage) -> None:
    down = stage.client()
    one = stage.call(down, "voting:8080")
    stage.advance(0.1)
    stage.control.tell("voting:8080", 1, routes=(Route("all", ("*",), ANY_PATH, "a", 0.5),))
    stage.connect_all()
    stage.advance(0.3)
    assert one not in down.voice.ended
    stage.advance(0.3)
    assert failure(down, one)[0] == "4"


def test_after_the_answer_it_waits_for_an_endpoint_as_any_other(stage: MeshStage) -> None:
    down = stage.client()
    one = stage.call(down, "voting:8080")
    stage.control.tell("voting:8080")
    stage.advance(2.8)
    assert one not in down.voice.ended
    stage.control.tell("voting:8080", 1)
    stage.connect_all()
    assert answer(stage, down, one) == 1


# ---- names that strangers invent


def test_names_that_are_awaited_are_bounded(stage: MeshStage) -> None:
    for number in range(60):
        down = stage.client()
        for stream in range(100):
            stage.call(down, f"s{stream}-{number}:80")
        down.hang_up()
        stage.advance(0.1 * (number < 40))
    assert len(stage.destinations.awaited) == MAX_AWAITED
    down = stage.client()
    one = stage.call(down, "web:80")
    assert "too many names" in str(failure(down, one))
    stage.advance(0.3)
    two = stage.call(down, "other:80")
    stage.control.tell("other:80", 1)
    stage.connect_all()
    assert answer(stage, down, two) == 1


def test_what_is_in_use_stays_subscribed(stage: MeshStage) -> None:
    down = stage.client()
    stage.control.tell("voting:8080", 1)
    stage.control.tell("web:80", 2)
    stage.connect_all()
    answer(stage, down, stage.call(down, "voting:8080"))
    asked = len(stage.control.wanted)
    answer(stage, down, stage.call(down, "voting:8080"))
    assert len(stage.control.wanted) == asked
    stage.now += 1
    stage.destinations.sweep(stage.now)
    assert stage.control.wanted[asked:] == ["voting:8080"]
    stage.now += 1
    stage.destinations.sweep(stage.now)
    assert len(stage.control.wanted) == asked + 1
    open_one = stage.call(down, "voting:8080")
    stage.now += 100
    stage.destinations.sweep(stage.now)
    stage.destinations.sweep(stage.now + 1)
    assert stage.control.wanted[asked + 1 :] == ["voting:8080"] * 2
    answer(stage, down, open_one)


# ---- clusters and routes


def test_two_names_of_one_service_share_its_cluster(stage: MeshStage) -> None:
    down = stage.client()
    ids = [stage.call(down, "voting:8080"), stage.call(down, "voting.emojivoto:8080")]
    stage.control.tell("voting:8080", 1, cluster="svc")
    stage.control.tell("voting.emojivoto:8080", 1, cluster="svc")
    (up,) = stage.connect_all()
    assert [answer(stage, down, one) for one in ids] == [1, 1]
    stage.control.deny("voting:8080")
    assert stage.ports("svc") == [1]
    assert not up.lost
    stage.control.deny("voting.emojivoto:8080")
    assert up.lost
    assert not stage.clusters.by_name


def test_an_endpoint_that_goes_finishes_what_it_has(stage: MeshStage) -> None:
    down = stage.client()
    stage.control.tell("voting:8080", 1)
    stage.connect_all()
    one = stage.call(down, "voting:8080")
    stage.control.tell("voting:8080", 2)
    two = stage.call(down, "voting:8080")
    stage.connect_all()
    assert answer(stage, down, two) == 2
    assert answer(stage, down, one) == 1
    assert stage.ups[0].lost
    assert not stage.failures()


def test_endpoints_that_stay_are_not_touched(stage: MeshStage) -> None:
    down = stage.client()
    stage.control.tell("voting:8080", *range(1, 500))
    stage.connect_all()
    answer(stage, down, stage.call(down, "voting:8080"))
    before = {id(endpoint): endpoint.link for endpoint in stage.cluster_named("voting:8080").balancer.endpoints}
    stage.control.tell("voting:8080", *range(2, 501))
    after = {id(endpoint): endpoint.link for endpoint in stage.cluster_named("voting:8080").balancer.endpoints}
    assert len(before.items() & after.items()) == 498
    assert [link.endpoint.address[1] for link in stage.dialled] == [500]


def test_a_route_that_changes_takes_those_along_who_wait_for_an_endpoint(stage: MeshStage) -> None:
    """They waited in a cluster that is no more."""
    down = stage.client()
    stage.control.tell("voting:8080", cluster="old")
    one = stage.call(down, "voting:8080")
    stage.control.tell("voting:8080", 2, cluster="new")
    stage.connect_all()
    assert answer(stage, down, one) == 2


def test_a_replay_goes_where_the_route_leads_now(stage: MeshStage) -> None:
    down = stage.client()
    stage.control.tell("voting:8080", 1, cluster="old")
    (up,) = stage.connect_all()
    one = stage.call(down, "voting:8080", body=b"x")
    stage.control.tell("voting:8080", 2, cluster="new")
    up.feed(up.voice.goaway(0))
    stage.connect_all()
    assert answer(stage, down, one) == 2
    assert stage.replays() == 1


def test_the_first_route_that_matches_counts(stage: MeshStage) -> None:
    down = stage.client()
    get = PathMatch(EXACT, "/echo.Echo/Get")
    routes = (Route("get", ("*",), get, "a"), Route("all", ("*",), ANY_PATH, "b"), Route("late", ("*",), get, "c"))
    stage.control.tell("voting:8080", 1, routes=routes)
    stage.connect_all()
    other = [(name, "/other" if name == ":path" else value) for name, value in to("voting:8080")]
    for request, cluster in ((to("voting:8080"), "a"), (other, "b")):
        one = stage.request(down, request)
        assert stage.where(down, one)[0].conn.link.cluster.name == cluster
        answer(stage, down, one)


def test_a_known_destination_without_a_route_for_the_path(stage: MeshStage) -> None:
    down = stage.client()
    stage.control.tell("voting:8080", 1, routes=(Route("x", ("*",), PathMatch(EXACT, "/x"), "a"),))
    one = stage.call(down, "voting:8080")
    assert down.hear("HEADERS", one)[0].header("gossamer-error") == "no-route"


def test_what_is_known_is_served_while_the_control_plane_is_away(stage: MeshStage) -> None:
    down = stage.client()
    stage.control.tell("voting:8080", 1)
    stage.connect_all()
    stage.control.connected = False
    for number in range(50):
        fresh = [*to("voting:8080"), ("traceparent", str(number))]
        answer(stage, down, stage.request(down, fresh))
    stage.advance(600)
    answer(stage, down, stage.call(down, "voting:8080"))


def test_a_request_to_nobody_s_name_leaves_nothing(stage: MeshStage) -> None:
    down = stage.client()
    for number in range(200):
        one = stage.request(down, [*GRPC_REQUEST[:3], (":authority", f"n{number}:80"), *GRPC_REQUEST[4:]])
        stage.control.deny(f"n{number}:80")
        assert one in down.voice.ended
    assert not stage.destinations.awaited
    assert not stage.destinations.known
    assert not stage.clusters.by_name
    stage.check_idle()
