from __future__ import annotations

from benchmarks.plot import limit


def test_bars_end_at_the_longest() -> None:
    assert limit([10, 20, 30]) == 30


def test_one_that_dwarfs_the_others_is_cut() -> None:
    assert limit([10, 20, 300]) == 25


def test_nothing_to_draw_still_has_a_scale() -> None:
    assert limit([0.0]) == 1
    assert limit([0.0, 0.0]) == 1
