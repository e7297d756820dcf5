from __future__ import annotations

import os

import pytest

from benchmarks.scale.plane import parse_cpu_s, parse_metrics, parse_samples, read_cpu_s

METRICS = """\
# HELP controlplane_xds_pushes_total Responses sent.
controlplane_xds_pushes_total{type="eds"} 40.0
controlplane_xds_pushes_total{type="lds"} 2.0
controlplane_graph_targets 7.0
controlplane_source_staleness_seconds{kind="pods"} 0.5
controlplane_source_staleness_seconds{kind="services"} 12.25
process_open_fds 12.0
"""


def test_samples_of_one_name_are_added_up() -> None:
    found = parse_metrics(METRICS)
    assert found["xds_pushes_total"] == 42.0
    assert found["graph_targets"] == 7.0
    assert "process_open_fds" not in found


def test_samples_by_their_labels() -> None:
    found = parse_samples("controlplane_source_staleness_seconds", METRICS)
    assert found == {'{kind="pods"}': 0.5, '{kind="services"}': 12.25}


def test_cpu_is_user_and_system_time_whatever_the_name() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    stat = f"12 (a ) name) S 1 1 1 0 -1 0 0 0 0 0 {3 * ticks} {2 * ticks} 900 900 20 0 1 0"
    assert parse_cpu_s(stat) == 5.0


def test_cpu_of_this_process() -> None:
    assert read_cpu_s(os.getpid()) == pytest.approx(sum(os.times()[:2]), abs=0.1)
