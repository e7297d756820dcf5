"""Hints: what shortens the wait for a client that listens first, for how long, and for how many."""

from __future__ import annotations

from proxy.codec.detect import MORE, OPAQUE
from proxy.route.hints import OPAQUE_PORTS, Expectation, Hints, expect_port

MYSQL = ("10.0.0.1", 3307)


def test_a_hint_is_for_one_address_and_expires() -> None:
    hints = Hints(ttl_s=600.0)
    hints.learn(MYSQL, 100.0)
    assert hints.knows(MYSQL, 699.9)
    assert not hints.knows(("10.0.0.1", 3308), 100.0)
    assert not hints.knows(("10.0.0.2", 3307), 100.0)
    assert not hints.knows(MYSQL, 700.0)
    assert len(hints) == 0


def test_being_used_does_not_prolong_a_hint_but_being_learned_again_does() -> None:
    hints = Hints(ttl_s=10.0)
    hints.learn(MYSQL, 0.0)
    assert hints.knows(MYSQL, 9.0)
    assert not hints.knows(MYSQL, 11.0)
    hints.learn(MYSQL, 11.0)
    hints.learn(MYSQL, 20.0)
    assert hints.knows(MYSQL, 29.0)


def test_the_table_is_bounded_and_keeps_what_is_used() -> None:
    hints = Hints(size=3)
    for host in "abc":
        hints.learn((host, 1), 0.0)
    assert hints.knows(("a", 1), 1.0)
    hints.learn(("d", 1), 1.0)
    assert [host for host in "abcd" if hints.knows((host, 1), 1.0)] == ["a", "c", "d"]


def test_a_hint_that_proved_wrong_is_forgotten() -> None:
    hints = Hints()
    hints.learn(MYSQL, 0.0)
    hints.forget(MYSQL)
    hints.forget(MYSQL)
    assert not hints.knows(MYSQL, 0.0)


def test_ports_where_the_server_speaks_first() -> None:
    assert {25, 587, 3306, 4444, 5432, 6379, 9300, 11211} == OPAQUE_PORTS
    assert expect_port(6379) == Expectation(OPAQUE, False, "port")
    assert expect_port(8080).kind == MORE
    assert expect_port(6379, frozenset((1,))).kind == MORE
