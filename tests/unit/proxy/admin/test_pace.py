"""Large answers together keep to a pace; small ones wait for nobody."""

from __future__ import annotations

import pytest

from proxy.admin.pace import BURST_BYTES, BYTES_PER_S, Pace

PIECE = 16_384


def test_one_large_answer_is_not_held_up() -> None:
    pace = Pace()
    assert [pace.take(PIECE, 100.0) for _ in range(BURST_BYTES // PIECE - 1)] == [0.0] * (BURST_BYTES // PIECE - 1)


@pytest.mark.parametrize("readers", [1, 8, 64])
def test_however_many_read_there_is_one_pace(readers: int) -> None:
    pace = Pace()
    turns = [100.0] * readers
    sent = 0
    while (now := min(turns)) < 110.0:
        sent += PIECE
        turns[turns.index(now)] = now + pace.take(PIECE, now)
    assert sent == pytest.approx(10 * BYTES_PER_S + BURST_BYTES, rel=0.05)


def test_small_answers_wait_for_nobody() -> None:
    pace = Pace()
    pace.take(100 * BYTES_PER_S, 100.0)
    assert pace.take(10, 100.0) == 0.0
    assert pace.take(PIECE, 100.0) > 1.0


def test_a_rest_gives_no_more_than_the_burst() -> None:
    pace = Pace()
    pace.take(BURST_BYTES, 100.0)
    assert pace.take(2 * BURST_BYTES, 1000.0) == pytest.approx(BURST_BYTES / BYTES_PER_S)
