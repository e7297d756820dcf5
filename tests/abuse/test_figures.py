"""The judge of the figures, by figures made up."""

from __future__ import annotations

import json

import pytest

from tests.abuse.figures import judge, leave_out, read


def test_calls_in_a_pause_and_as_long_after_it_are_left_out() -> None:
    before, across, within, after, later = (1.0, 2.0), (1.995, 10.0), (2.1, 1.0), (2.25, 1.0), (2.45, 1.0)
    assert leave_out([before, across, within, after, later], [(2.0, 2.2)]) == [2.0, 1.0]


def test_an_attack_is_judged_by_its_own_kind_of_scene(capsys: pytest.CaptureFixture[str]) -> None:
    told = [
        {"idle": "Scene", "calls": [(1.0, 1.0)] * 100},
        {"idle": "Pods", "calls": [(1.0, 2.0)] * 100},
        *({"attack": kind, "kind": kind, "calls": [(2.0, 4.0)] * 50, "grown_kib": 8} for kind in ("Scene", "Pods")),
        {"attack": "paused", "kind": "Pods", "calls": [(3.0, 9.0), (4.0, 2.0)], "grown_kib": 8},
        {"pauses": [(3.0, 3.008)]},
    ]
    assert judge(*read([json.dumps(each) for each in told])) == ["Scene"]
    assert "| paused | 1 | 1 | 2.0 | 1.0 |" in capsys.readouterr().out
