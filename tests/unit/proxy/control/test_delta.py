"""Conversations with a server, written out: what is asked, what is answered, what is said next."""

from __future__ import annotations

from collections.abc import Callable

from proxy.control.delta import MAX_ERROR_CHARS, Delta
from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE, Request, Resource, Response


def fine(resource: Resource) -> str:
    return ""


def bad(resource: Resource) -> str:
    return "no good"


class Desk:
    """A Delta, a clock, and what it was told to take and remove."""

    def __init__(self) -> None:
        self.delta = Delta()
        self.now = 100.0
        self.removed: list[str] = []

    def say(self) -> list[Request]:
        return self.delta.requests(self.now)

    def hear(
        self,
        type_url: str,
        nonce: str,
        *names: str,
        removed: tuple[str, ...] = (),
        judge: Callable[[Resource], str] = fine,
        version: str = "1",
    ) -> list[str]:
        resources = tuple(Resource(name, version, type_url, b"") for name in names)
        response = Response(type_url, nonce, resources, removed)
        return list(self.delta.receive(response, self.now, judge, self.removed.append))

    def expire(self, heard_s: float | None = None) -> list[tuple[str, str]]:
        return self.delta.expire(self.now, self.now if heard_s is None else heard_s)


def test_says_nothing_until_something_is_wanted() -> None:
    """A first request without names would be a wildcard."""
    assert Desk().say() == []


def test_subscribes_and_acknowledges() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.delta.subscribe(LISTENER, "b")
    assert desk.say() == [Request(LISTENER, ("a", "b"))]
    assert desk.say() == []
    assert desk.hear(LISTENER, "n1", "a", "b") == ["", ""]
    assert desk.say() == [Request(LISTENER, nonce="n1")]
    desk.delta.subscribe(LISTENER, "c")
    desk.delta.unsubscribe(LISTENER, "a")
    assert desk.say() == [Request(LISTENER, ("c",), ("a",))]


def test_types_are_independent() -> None:
    desk = Desk()
    desk.delta.subscribe(CLUSTER, "x")
    desk.delta.subscribe(LISTENER, "x")
    assert desk.say() == [Request(LISTENER, ("x",)), Request(CLUSTER, ("x",))]
    desk.hear(CLUSTER, "n1", "x")
    desk.delta.subscribe(ENDPOINTS, "x")
    assert desk.say() == [Request(CLUSTER, nonce="n1"), Request(ENDPOINTS, ("x",))]


def test_a_new_stream_names_all_and_their_versions() -> None:
    desk = Desk()
    for name in ("a", "b", "c", "d"):
        desk.delta.subscribe(ROUTE, name)
    desk.say()
    desk.hear(ROUTE, "n1", "a", version="7")
    desk.hear(ROUTE, "n2", "b", version="8", removed=("c",))
    desk.delta.unsubscribe(ROUTE, "d")
    desk.delta.restart()
    assert desk.say() == [Request(ROUTE, ("a", "b", "c"), (), {"a": "7", "b": "8"})]


def test_a_nonce_dies_with_its_stream() -> None:
    desk = Desk()
    desk.delta.subscribe(ROUTE, "a")
    desk.say()
    desk.hear(ROUTE, "n1", "a")
    desk.delta.restart()
    assert [request.nonce for request in desk.say()] == [""]
    assert desk.say() == []


def test_refuses_with_the_reason_and_keeps_the_good() -> None:
    desk = Desk()
    for name in ("a", "b"):
        desk.delta.subscribe(ENDPOINTS, name)
    desk.say()
    faults = desk.hear(ENDPOINTS, "n1", "a", "b", judge=lambda resource: "" if resource.name == "a" else "no good")
    assert faults == ["", "b: no good"]
    assert desk.say() == [Request(ENDPOINTS, nonce="n1", error="b: no good")]
    desk.delta.restart()
    assert desk.say() == [Request(ENDPOINTS, ("a", "b"), (), {"a": "1"})]


def test_a_refused_version_leaves_the_one_before() -> None:
    desk = Desk()
    desk.delta.subscribe(CLUSTER, "a")
    desk.say()
    desk.hear(CLUSTER, "n1", "a", version="1")
    desk.hear(CLUSTER, "n2", "a", version="2", judge=bad)
    desk.delta.restart()
    assert desk.say() == [Request(CLUSTER, ("a",), (), {"a": "1"})]


def test_a_resource_of_another_type_is_refused() -> None:
    desk = Desk()
    desk.delta.subscribe(CLUSTER, "a")
    desk.say()
    response = Response(CLUSTER, "n1", (Resource("a", "1", LISTENER, b""),))
    assert list(desk.delta.receive(response, desk.now, fine, desk.removed.append)) == [f"a: it holds a {LISTENER}"]


def test_the_reason_is_bounded() -> None:
    desk = Desk()
    names = [f"{index:0300}" for index in range(100)]
    for name in names:
        desk.delta.subscribe(CLUSTER, name)
    desk.say()
    desk.hear(CLUSTER, "n1", *names, judge=bad)
    assert len(desk.say()[0].error) == MAX_ERROR_CHARS


def test_a_server_that_repeats_what_was_refused_is_answered_more_and_more_slowly() -> None:
    desk = Desk()
    desk.delta.subscribe(CLUSTER, "a")
    desk.say()
    desk.hear(CLUSTER, "n0", "a", judge=bad)
    assert len(desk.say()) == 1
    waits = []
    for repeat in range(40):
        desk.hear(CLUSTER, f"n{repeat + 1}", "a", judge=bad)
        began_s = desk.now
        while not desk.say():
            desk.now += 0.5
        waits.append(desk.now - began_s)
    assert waits[:6] == [1, 2, 4, 8, 16, 30]
    assert set(waits[6:]) == {30}
    # Another version of it is news.
    desk.hear(CLUSTER, "last", "a", version="2", judge=bad)
    assert [request.nonce for request in desk.say()] == ["last"]


def test_replies_that_wait_are_bounded() -> None:
    desk = Desk()
    desk.delta.subscribe(CLUSTER, "a")
    desk.say()
    for number in range(1_000):
        desk.hear(CLUSTER, str(number), "a", judge=bad)
    desk.now += 3_600
    nonces = [request.nonce for request in desk.say()]
    assert len(nonces) == 100
    assert nonces[-1] == "999"


def test_what_was_unsubscribed_meanwhile_is_passed_over() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.delta.subscribe(LISTENER, "b")
    desk.say()
    desk.delta.unsubscribe(LISTENER, "a")
    assert desk.hear(LISTENER, "n1", "a", "b", removed=("a",), judge=bad) == ["", "b: no good"]
    assert desk.removed == []


def test_unsubscribed_and_wanted_again_at_once_is_asked_for_anew() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.say()
    desk.hear(LISTENER, "n1", "a")
    desk.say()
    desk.delta.unsubscribe(LISTENER, "a")
    desk.delta.subscribe(LISTENER, "a")
    assert desk.say() == [Request(LISTENER, ("a",))]


def test_all_unsubscribed_is_still_acknowledged() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.say()
    desk.delta.unsubscribe(LISTENER, "a")
    desk.hear(LISTENER, "n1", "a")
    assert desk.say() == [Request(LISTENER, nonce="n1"), Request(LISTENER, (), ("a",))]


def test_a_type_that_was_not_asked_for_gets_no_reply() -> None:
    """A reply would be that type's first request: without names, a wildcard."""
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.say()
    assert desk.hear(CLUSTER, "n1", "x") == ["a response of a type that was not asked for"]
    assert desk.hear("type.googleapis.com/x.Y", "n2", "x") == ["a response of a type that was not asked for"]
    assert desk.say() == []
    assert not desk.delta.answered


def test_removed_is_told_and_its_version_forgotten() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.say()
    desk.hear(LISTENER, "n1", "a")
    desk.hear(LISTENER, "n2", removed=("a",))
    assert desk.removed == ["a"]
    desk.delta.restart()
    assert desk.say() == [Request(LISTENER, ("a",))]


def test_no_answer_for_15_s_from_a_server_that_answers_is_missing() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.delta.subscribe(LISTENER, "b")
    desk.say()
    desk.hear(LISTENER, "n1", "a")
    desk.now += 14.9
    assert desk.expire() == []
    assert desk.delta.waiting_since() == 100.0
    desk.now += 0.1
    assert desk.expire() == [(LISTENER, "b")]
    assert desk.expire() == []
    assert desk.delta.waiting_since() is None


def test_a_server_that_has_answered_nothing_is_not_believed() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.say()
    desk.now += 1_000
    assert desk.expire() == []


def test_a_server_that_was_not_heard_since_is_not_believed() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.say()
    desk.hear(LISTENER, "n1", "a")
    desk.now += 10
    desk.delta.subscribe(LISTENER, "b")
    desk.say()
    desk.now += 100
    assert desk.expire(heard_s=105.0) == []
    assert desk.expire(heard_s=111.0) == [(LISTENER, "b")]


def test_what_is_here_already_needs_no_answer() -> None:
    """The server says nothing of versions that are still right."""
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.delta.subscribe(LISTENER, "b")
    desk.say()
    desk.hear(LISTENER, "n1", "a", "b")
    desk.delta.restart()
    desk.delta.subscribe(CLUSTER, "c")
    desk.say()
    desk.hear(CLUSTER, "n1", "c")
    desk.now += 1_000
    assert desk.expire() == []


def test_the_time_without_a_stream_does_not_count() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.delta.subscribe(LISTENER, "b")
    desk.say()
    desk.hear(LISTENER, "n1", "a")
    desk.now += 10
    desk.delta.restart()
    assert desk.delta.waiting_since() is None
    desk.now += 1_000
    assert desk.expire() == []
    desk.say()
    desk.hear(LISTENER, "n1", "a")
    desk.now += 10
    assert desk.expire() == []
    desk.now += 5
    assert desk.expire() == [(LISTENER, "b")]


def test_versions_of_an_earlier_life_are_named() -> None:
    desk = Desk()
    desk.delta.subscribe(LISTENER, "a")
    desk.delta.restore(LISTENER, "a", "9")
    desk.delta.restart()
    assert desk.say() == [Request(LISTENER, ("a",), (), {"a": "9"})]
