"""wrk as the load of HTTP/1.1: what it is told, what it says, and a window against the real backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import wrk
from benchmarks.errors import BenchmarkError
from benchmarks.load import Shape
from benchmarks.peers.peer import HTTP1
from benchmarks.plan import Cores
from benchmarks.scene import BACKENDS, Stage
from benchmarks.toolchain import Native
from tests.requirement import require

LINE = '{"requests": %d, "seconds": 1.0, "errors": %d, "p50": 10, "p99": 20}\n'


def test_the_last_line_counts() -> None:
    assert wrk.parse("Running 1s test\n" + LINE % (5, 0))["requests"] == 5


@pytest.mark.parametrize(("line", "complaint"), [(LINE % (5, 1), "1 errors in 5"), (LINE % (0, 0), "no answer")])
def test_errors_and_silence_void_a_window(line: str, complaint: str) -> None:
    with pytest.raises(BenchmarkError, match=complaint):
        wrk.parse(line)


def test_what_a_backend_has_served() -> None:
    text = "Active connections: 2 \nserver accepts handled requests\n 7 7 31 \nReading: 0 Writing: 1 Waiting: 1 \n"
    assert wrk.parse_served(text) == 31


@pytest.mark.parametrize("headers", ["same", "unique"])
def test_a_window_without_a_proxy(tmp_path: Path, headers: str) -> None:
    require("wrk", "wrk is missing: apt-get install wrk")
    require("nginx", "nginx is missing: apt-get install nginx")
    stage = Stage(Native(Path("unused"), Path("unused")), Cores(None, None), tmp_path)
    with stage.scene(None, HTTP1) as scene:
        sample = wrk.measure(scene.entry[0], scene.backend_ports, scene.clocks, Shape(2, 1), headers, 1, None)
    assert sample.requests > 10
    assert sample.cpu_us["backends"] > 0
    assert len(sample.backends) == BACKENDS
    assert sample.backends[0] > sample.requests / 2 > sample.backends[1] == sample.backends[2] == 1
