"""Who waits for a connection of HTTP/1, and who is next."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.relay.http1.queue import Queue


@dataclass(eq=False)
class Waiting:
    """What the queue asks of an exchange."""

    request_end: bool = False
    body_bytes: int = 0
    needs_fresh: bool = False


def make_queue(*waiting: Waiting) -> Queue:
    queue = Queue()
    for one in waiting:
        queue.put(one)
    return queue


def test_complete_ones_are_first_then_those_that_come_in_each_in_their_order() -> None:
    bare, begun, whole, later = Waiting(), Waiting(body_bytes=1), Waiting(request_end=True), Waiting(request_end=True)
    queue = make_queue(bare, begun, whole, later)
    assert [queue.pop() for _ in range(len(queue))] == [whole, later, begun, bare]
    assert not queue
    assert queue.find_next(True) is None


def test_who_has_begun_goes_before_those_who_have_not() -> None:
    first, second = Waiting(), Waiting()
    queue = make_queue(first, second)
    second.body_bytes = 5
    queue.put(second)
    assert queue.find_next(True) is second
    assert len(queue) == 2


def test_what_was_lost_on_an_old_connection_is_not_given_to_another_one() -> None:
    queue = make_queue(Waiting(request_end=True, needs_fresh=True))
    other = Waiting()
    assert queue.find_next(False) is None
    assert queue.find_next(True).needs_fresh
    queue.put(other)
    assert queue.find_next(False) is other


def test_who_has_sent_nothing_gives_its_place_first() -> None:
    begun, bare, whole = Waiting(body_bytes=1), Waiting(), Waiting(request_end=True)
    queue = make_queue(begun, bare, whole)
    assert queue.find_unfinished(True) is queue.find_unfinished(False) is bare
    queue.discard(bare)
    assert queue.find_unfinished(True) is begun
    assert queue.find_unfinished(False) is None
    queue.discard(begun)
    assert queue.find_unfinished(True) is None


def test_who_is_not_there_cannot_be_taken_out() -> None:
    queue = make_queue(there := Waiting())
    queue.discard(Waiting())
    assert len(queue) == 1
    assert there in queue
    queue.discard(there)
    assert there not in queue
    assert not queue
