"""The judge of the figures, by figures made up."""

from __future__ import annotations

import json
import os
from subprocess import Popen
from typing import Any

import pytest

from tests.abuse.figures import find_spans, judge, read, take_off
from tests.abuse.pauses import pauses_noted


def test_a_pause_and_as_long_after_it_is_taken_off_and_no_more() -> None:
    spans = find_spans([(2.0, 2.2), (2.1, 2.2), (3.0, 3.002)])
    assert [edge for span in spans for edge in span] == pytest.approx([2.0, 2.4, 3.0, 3.004])
    calls = {(1.0, 2.0): 2, (1.995, 10.0): 5, (2.1, 1.0): 0, (2.39, 20.0): 10, (2.45, 1.0): 1, (2.9, 250.0): 246}
    assert take_off(calls, spans) == pytest.approx(list(calls.values()))
    assert take_off([(1.0, 5_000.0)], spans) == pytest.approx([5_000.0 - 404.0])


@pytest.mark.parametrize(("slow", "expected"), [(0, []), (1, []), (2, ["Pods"])])
def test_an_attack_is_judged_by_its_own_kind_of_scene(
    slow: int, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The idle p99 is 1.0 and 2.0 ms, though one call took 9."""
    told = [
        {"idle": "Scene", "calls": [(1.0, 1.0)] * 198 + [(1.0, 9.0)]},
        {"idle": "Pods", "calls": [(1.0, 2.0)] * 198 + [(1.0, 9.0)]},
        {"attack": "Scene", "kind": "Scene", "calls": [(2.0, 3.0)] * 100, "grown_kib": 8},
        {"attack": "Pods", "kind": "Pods", "calls": [(2.0, 5.9)] * (120 - slow) + [(2.0, 6.1)] * slow, "grown_kib": 8},
        {"attack": "paused", "kind": "Pods", "calls": [(3.0, 9.0), (4.0, 2.0)], "grown_kib": 8},
        {"pauses": [(3.0, 3.004)]},
    ]
    assert judge(*read([json.dumps(each) for each in told])) == expected
    assert "| paused | 2 | 9.0 | 2.0 | 1.0 |" in capsys.readouterr().out


def test_who_watches_a_core_says_so_and_whether_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid():
        pytest.skip("SCHED_FIFO takes root")
    with pauses_noted() as pauses:
        pass
    assert all(begin_s < end_s for begin_s, end_s in pauses)
    started: list[Popen[str]] = []

    class Noted(Popen[str]):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            started.append(self)

    monkeypatch.setattr("tests.abuse.pauses.Popen", Noted)
    with pytest.raises(RuntimeError, match="has ended"), pauses_noted():  # noqa: PT012 - it is told at the end
        started[0].kill()
        started[0].wait()
    assert all(one.poll() is not None for one in started)
