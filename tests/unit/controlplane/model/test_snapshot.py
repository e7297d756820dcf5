"""Changes and relists, and what differs after them."""

from __future__ import annotations

from typing import Any

from controlplane.model.objects import PODS, SERVICES, Pod, Service
from controlplane.model.snapshot import Change, Relist, Snapshot

A, B, C = (Pod("shop", name, f"uid-{name}") for name in "abc")
KEYS = {name: ("shop", name) for name in "abc"}


def after(snapshot: Snapshot, *changes: Change | Relist) -> tuple[Snapshot, set[str]]:
    now, touched = snapshot.after(changes)
    assert all(kind == PODS for kind, _ in touched)
    return now, {name for _, (_, name) in touched}


def test_an_object_comes_changes_and_goes() -> None:
    empty = Snapshot()
    one, touched = after(empty, Change(PODS, A.key, A))
    assert (one.pods, touched) == ({A.key: A}, {"a"})
    ended = Pod("shop", "a", "uid-a", terminating=True)
    two, touched = after(one, Change(PODS, A.key, ended))
    assert (two.pods, touched) == ({A.key: ended}, {"a"})
    three, touched = after(two, Change(PODS, A.key, None))
    assert (three.pods, touched) == ({}, {"a"})
    assert (empty.pods, one.pods, two.pods) == ({}, {A.key: A}, {A.key: ended})


def test_what_changes_nothing_touches_nothing() -> None:
    one, _ = after(Snapshot(), Change(PODS, A.key, A))
    equal = Pod("shop", "a", "uid-a")
    for changes in (
        [Change(PODS, A.key, equal)],
        [Change(PODS, B.key, None)],
        [Change(PODS, B.key, B), Change(PODS, B.key, None)],
        [Change(PODS, A.key, None), Change(PODS, A.key, equal)],
        [Relist(PODS, (equal,))],
        [],
    ):
        assert after(one, *changes) == (one, set())


def test_a_relist_removes_what_it_lacks() -> None:
    one, _ = after(Snapshot(), Relist(PODS, (A, B)))
    two, touched = after(one, Relist(PODS, (B, C)))
    assert (two.pods, touched) == ({B.key: B, C.key: C}, {"a", "c"})


def test_changes_apply_in_their_order() -> None:
    one, _ = after(Snapshot(), Relist(PODS, (A,)))
    two, touched = after(one, Change(PODS, B.key, B), Relist(PODS, (C,)), Change(PODS, A.key, A))
    assert (two.pods, touched) == ({C.key: C, A.key: A}, {"c"})


def test_kinds_do_not_mix() -> None:
    service = Service("shop", "a")
    snapshot, touched = Snapshot().after([Change(SERVICES, service.key, service), Change(PODS, A.key, A)])
    assert touched == {(SERVICES, ("shop", "a")), (PODS, ("shop", "a"))}
    assert snapshot.table(SERVICES) == {("shop", "a"): service}
    assert snapshot.table(PODS) == {("shop", "a"): A}


def test_a_kind_that_cannot_be_listed_is_not_a_kind_without_objects() -> None:
    refused, touched = after(Snapshot(), Relist(PODS, (), available=False))
    assert (refused.unavailable, touched) == ({PODS}, set())
    allowed, _ = after(refused, Relist(PODS, (A,)))
    assert (allowed.unavailable, allowed.pods) == (frozenset(), {A.key: A})


def test_one_change_compares_that_object_alone() -> None:
    compared: list[str] = []

    class Watched(Pod):
        def __eq__(self, other: object) -> bool:
            compared.append(self.name)
            return self is other

        __hash__ = Pod.__hash__

    pods: list[Any] = [Watched("shop", str(number), str(number)) for number in range(100)]
    snapshot, _ = Snapshot().after([Relist(PODS, tuple(pods))])
    compared.clear()
    snapshot.after([Change(PODS, ("shop", "7"), Watched("shop", "7", "new"))])
    assert set(compared) == {"7"}
