from __future__ import annotations

import pytest
import typer

from mesh.demo.command import demo, find_problem


@pytest.mark.parametrize(("duration", "rate"), [(1, 1), (10, 200), (3600, 1000)])
def test_usable_options(duration: float, rate: float) -> None:
    assert find_problem(duration, rate) is None


@pytest.mark.parametrize("value", [0, -1, 0.5, 3601, float("nan"), float("inf"), float("-inf")])
def test_wrong_duration_is_named(value: float) -> None:
    assert find_problem(value, 200) == f"--duration must be between 1 and 3600, and {value:g} is not"


@pytest.mark.parametrize("value", [0, -1, 0.5, 1001, float("nan"), float("inf")])
def test_wrong_rate_is_named(value: float) -> None:
    assert find_problem(10, value) == f"--rate must be between 1 and 1000, and {value:g} is not"


def test_wrong_option_ends_with_one_sentence_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as end:
        demo(duration=0)
    assert end.value.exit_code == 2
    assert capsys.readouterr() == ("", "mesh demo: --duration must be between 1 and 3600, and 0 is not\n")


def test_a_pod_is_killed_on_this_machine_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as end:
        demo(kill_pod=True, kubernetes=True)
    assert end.value.exit_code == 2
    assert (
        capsys.readouterr().err
        == "mesh demo: --kill-pod is for the demo on this machine; leave it or --kubernetes out\n"
    )
