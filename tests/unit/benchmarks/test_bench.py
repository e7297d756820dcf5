from __future__ import annotations

import pytest

from benchmarks.bench import check_spread
from benchmarks.errors import BenchmarkError
from benchmarks.load import Shape
from tests.unit.benchmarks.samples import make_sample


def test_even_shares_pass() -> None:
    check_spread(make_sample(backends=(33, 34, 33)), Shape(8, 32))


@pytest.mark.parametrize("backends", [(100,), (50, 50), (96, 2, 2), (50, 50, 0)])
def test_a_backend_that_is_left_out_fails_the_run(backends: tuple[int, ...]) -> None:
    with pytest.raises(BenchmarkError, match="not balanced"):
        check_spread(make_sample(backends=backends), Shape(8, 4))


def test_one_request_at_a_time_may_prefer_a_backend_but_not_pin_to_it() -> None:
    check_spread(make_sample(backends=(96, 2, 2)), Shape(1, 1))
    with pytest.raises(BenchmarkError, match="not balanced"):
        check_spread(make_sample(backends=(50, 50)), Shape(1, 1))
