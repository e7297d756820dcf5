from __future__ import annotations

from injector.webhook.judgement import About, Happening, Note
from injector.webhook.ledger import AGAIN_S, BURST, ENTRIES_MAX, FORGET_S, RATE, Ledger


def make_note(name: str, message: str = "the sidecar is put in") -> Note:
    return Note(About("shop", "apps/v1", "ReplicaSet", name, f"uid-{name}"), Happening.INJECTED, message)


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
    for name in names:
        ledger.add(make_note(name), 0.0)
    written = [entry.note.about.name for entry in ledger.take(0.0)]
    assert len(written) == BURST
    for second in range(1, 60):
        taken = ledger.take(float(second))
        assert len(taken) <= RATE
        written += [entry.note.about.name for entry in taken]
    assert written == names


def test_the_table_is_bounded_and_says_what_it_dropped() -> None:
    ledger = Ledger()
    for number in range(ENTRIES_MAX + 10):
        ledger.add(make_note("web", f"message {number}"), 0.0)
    assert ledger.dropped == 10
    ledger.add(make_note("web", "message 0"), 0.0)
    assert ledger.dropped == 10


def test_what_is_over_makes_room() -> None:
    ledger = Ledger()
    for number in range(ENTRIES_MAX):
        ledger.add(make_note("web", f"message {number}"), 0.0)
    for second in range(ENTRIES_MAX):
        ledger.take(float(second))
    ledger.take(FORGET_S + ENTRIES_MAX)
    ledger.add(make_note("new"), FORGET_S + ENTRIES_MAX)
    assert ledger.dropped == 0
