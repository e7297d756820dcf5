from __future__ import annotations

import json

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.load import Shape, parse_sample, parse_shape

ANSWER = {
    "requests": 200,
    "seconds": 0.5,
    "latency_us": {"p50": 100.0},
    "lateness_us": {"p50": 1.0},
    "backends": [100, 60, 40],
    "cpu_us": {"proxy": 4000.0, "backends": 600.0},
}


def test_a_shape_is_connections_by_streams() -> None:
    assert parse_shape("8x32") == Shape(8, 32)
    assert str(Shape(8, 32)) == "8x32"


@pytest.mark.parametrize("text", ["", "8", "8x", "x4", "0x4", "8x0", "-1x4", "8x4x2", "8 x 4"])
def test_anything_else_is_no_shape(text: str) -> None:
    with pytest.raises(BenchmarkError, match="CONNECTIONSxSTREAMS"):
        parse_shape(text)


def test_a_sample_tells_rate_cost_and_shares() -> None:
    sample = parse_sample(json.dumps(ANSWER))
    assert sample.rps == 400
    assert sample.cpu_per_request_us("proxy") == 20
    assert sample.cpu_per_request_us("backends") == 3
    assert sample.shares() == [0.5, 0.3, 0.2]


def test_a_window_without_an_answer_is_no_sample() -> None:
    with pytest.raises(BenchmarkError, match="no answer"):
        parse_sample(json.dumps(ANSWER | {"requests": 0}))
