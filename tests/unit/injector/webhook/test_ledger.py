from __future__ import annotations

from injector.webhook.judgement import About, Happening, Note
from injector.webhook.ledger import AGAIN_S, BURST, ENTRIES_MAX, FORGET_S, NAMESPACE_MAX, RATE, Ledger


def make_note(name: str, message: str = "the sidecar is put in", namespace: str = "shop") -> Note:
    return Note(About(namespace, "apps/v1", "ReplicaSet", name, f"uid-{name}"), Happening.INJECTED, message)


def test_equal_notes_are_one_event_with_a_count() -> None:
    ledger = Ledger()
    for moment in range(500):
        ledger.add(make_note("web"), moment / 100)
    (entry,) = ledger.take(5.0)
    assert (entry.count, entry.first_s, entry.last_s) == (500, 0.0, 4.99)
    assert ledger.take(5.0) == []


def test_what_was_written_is_written_again_only_after_a_while() -> None:
    ledger = Ledger()
    ledger.add(make_note("web"), 0.0)
    assert len(ledger.take(0.0)) == 1
    ledger.add(make_note("web"), 1.0)
    assert ledger.take(AGAIN_S - 0.1) == []
    (entry,) = ledger.take(AGAIN_S)
    assert entry.count == 2
    assert ledger.take(10 * AGAIN_S) == []


def test_at_the_end_all_that_is_due_is_written() -> None:
    ledger = Ledger()
    ledger.add(make_note("web"), 0.0)
    ledger.take(0.0)
    ledger.add(make_note("web"), 1.0)
    assert len(ledger.take(1.0, is_last=True)) == 1


def test_many_workloads_are_written_at_a_bounded_rate_and_none_is_forgotten() -> None:
    ledger = Ledger()
    names = [f"web-{number}" for number in range(200)]
    for number, name in enumerate(names):
        ledger.add(make_note(name, namespace=f"ns-{number // NAMESPACE_MAX}"), 0.0)
    written = [entry.note.about.name for entry in ledger.take(0.0)]
    assert len(written) == BURST
    for second in range(1, 60):
        taken = ledger.take(float(second))
        assert len(taken) <= RATE
        written += [entry.note.about.name for entry in taken]
    assert sorted(written) == sorted(names)
    assert ledger.dropped == 0


def test_of_a_namespace_the_longest_waiting_is_first() -> None:
    ledger = Ledger()
    names = [f"web-{number}" for number in range(10)]
    for name in names:
        ledger.add(make_note(name), 0.0)
    assert [entry.note.about.name for entry in ledger.take(0.0)] == names


def test_a_flood_in_a_namespace_crowds_out_its_own() -> None:
    ledger = Ledger()
    for number in range(1300):
        ledger.add(make_note(f"evil-{number}", namespace="evil"), 0.0)
    ledger.add(make_note("good", namespace="good"), 0.0)
    assert ledger.dropped == 1300 - NAMESPACE_MAX
    assert "good" in [entry.note.about.name for entry in ledger.take(0.0)]
    for number in range(100):
        ledger.add(make_note(f"evil-again-{number}", namespace="evil"), 0.0)
    ledger.add(make_note("good-again", namespace="good"), 0.0)
    assert ledger.take(0.1) == []
    assert "good-again" in [entry.note.about.name for entry in ledger.take(1.0)]


def test_namespaces_take_turns() -> None:
    ledger = Ledger()
    namespaces = [f"ns-{number}" for number in range(10)]
    for namespace in namespaces:
        for number in range(20):
            ledger.add(make_note(f"web-{number}", namespace=namespace), 0.0)
    ledger.take(0.0)
    taken = [entry.note.about.namespace for second in (1.0, 2.0) for entry in ledger.take(second)]
    assert sorted(taken) == namespaces


def fill(ledger: Ledger) -> None:
    """Most of it by one namespace."""
    for number in range(NAMESPACE_MAX):
        ledger.add(make_note(f"web-{number}", namespace="evil"), 0.0)
    for number in range(ENTRIES_MAX - NAMESPACE_MAX):
        ledger.add(make_note("web", namespace=f"ns-{number}"), 0.0)


def test_the_table_is_bounded_and_the_fullest_gives_way() -> None:
    ledger = Ledger()
    fill(ledger)
    assert ledger.dropped == 0
    for number in range(10):
        ledger.add(make_note("new", namespace=f"new-{number}"), 0.0)
    assert ledger.dropped == 10
    written = [entry.note.about for second in range(0, 300, 5) for entry in ledger.take(float(second))]
    assert len(written) == ENTRIES_MAX
    assert sum(about.namespace == "evil" for about in written) == NAMESPACE_MAX - 10


def test_what_was_told_goes_first_and_is_not_dropped() -> None:
    ledger = Ledger()
    for number in range(NAMESPACE_MAX):
        ledger.add(make_note(f"web-{number}"), 0.0)
    assert len(ledger.take(0.0)) == BURST
    for number in range(int(BURST)):
        ledger.add(make_note(f"new-{number}"), 1.0)
    assert ledger.dropped == 0
    ledger.add(make_note("one-more"), 1.0)
    assert ledger.dropped == 1


def test_what_is_over_makes_room() -> None:
    ledger = Ledger()
    fill(ledger)
    for second in range(0, 300, 5):
        ledger.take(float(second))
    ledger.take(FORGET_S + 1.0)
    fill(ledger)
    assert ledger.dropped == 0
