from __future__ import annotations

import pytest

from injector.problem import _LINES_MAX, Problem


def test_it_is_said_when_it_begins_changes_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem("all is well")
    for text in ("one", "one", "two"):
        problem.tell(text)
    assert problem.text == "two"
    problem.settle()
    problem.settle()
    said = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert said == ["one", "two", "all is well"]


def test_who_finds_how_to_change_it_fills_no_disk(capsys: pytest.CaptureFixture[str]) -> None:
    problem = Problem("all is well")
    for number in range(10 * _LINES_MAX):
        problem.tell(f"number {number}")
    assert len(capsys.readouterr().err.splitlines()) == _LINES_MAX
    assert problem.text == f"number {10 * _LINES_MAX - 1}"
