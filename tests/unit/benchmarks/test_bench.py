from __future__ import annotations

import pytest

from benchmarks.bench import Cells, check_spread, check_use, keep
from benchmarks.errors import BenchmarkError
from benchmarks.load import Shape
from tests.unit.benchmarks.samples import make_sample

ONE, MANY = Shape(1, 1), Shape(8, 4)


def test_even_shares_pass() -> None:
    check_spread("x", MANY, (0.33, 0.34, 0.33), 0.1)


@pytest.mark.parametrize("backends", [(100,), (50, 50), (96, 2, 2), (50, 50, 0)])
def test_a_backend_that_is_left_out_fails_the_run(backends: tuple[int, ...]) -> None:
    with pytest.raises(BenchmarkError, match="x at 8x4: not balanced"):
        keep({}, "x", MANY, "same", make_sample(backends=backends))


def test_one_request_at_a_time_may_prefer_a_backend_but_not_pin_to_it() -> None:
    found: dict[str, Cells] = {}
    for backends in ((98, 2, 0), (50, 50)):
        keep(found, "x", ONE, "same", make_sample(backends=backends))
    with pytest.raises(BenchmarkError, match=r"x at 1x1: not balanced over the 3 backends: 74.0%, 26.0%, 0.0%"):
        check_use(found)
    keep(found, "x", ONE, "unique", make_sample(backends=(0, 99, 1)))
    check_use(found)


def test_the_direct_path_has_nobody_to_balance() -> None:
    found: dict[str, Cells] = {}
    keep(found, "direct", ONE, "same", make_sample(None, backends=(100,)))
    check_use(found)
