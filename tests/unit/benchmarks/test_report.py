from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.report import render_markdown, table, with_spread, write_report
from benchmarks.summary import Summary, summarise
from tests.unit.benchmarks.samples import MACHINE, make_findings, make_plan


@pytest.fixture
def summary() -> Summary:
    return summarise(make_plan("gossamer", "envoy"), make_findings(), MACHINE)


def test_a_table_has_a_row_per_line() -> None:
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_spread_is_shown_where_there_is_one() -> None:
    assert with_spread({"median": 1234.5, "min": 1000, "max": 2000}) == "1,234.5 (1,000.0 – 2,000.0)"
    assert with_spread({"median": 2, "min": 2, "max": 2}, digits=0) == "2"


def test_markdown_names_machine_figures_ratio_and_goals(summary: Summary) -> None:
    text = render_markdown(summary)
    assert "A CPU, 2 cores, Linux 6.1, Python 3.11.7" in text
    assert "proxy on core 1, load and backends on core 0" in text
    assert "other work used at most 3% of the machine" in text
    assert "| 8x4 | Gossamer | 11.0 (10.0 – 14.0) | 2.0 | 200 | 100 | 300 |" in text
    assert "| 8x4 | no proxy | – |" in text
    assert "- ours / Envoy: 0.50 at 8x4" in text
    assert "| Gossamer | 133 | 400 | 800 | 50.0 |" in text
    assert "| Gossamer | 10.7 | 11.7 | 1,024 | 12.7 |" in text
    assert "| CPU per request over Envoy's, 8x4, same | 0.7 | 0.5 | met |" in text


def test_markdown_has_the_other_protocols() -> None:
    text = render_markdown(summarise(make_plan("gossamer", "envoy", "haproxy", "nginx"), make_findings(), MACHINE))
    assert "## HTTP/1.1: CPU per request, same headers" in text
    assert "| 32x1 | Gossamer | 11.0 | 2.0 | 200 | 100 | 300 |" in text
    assert "- ours / nginx: 1.10 at 32x1" in text
    assert "| proxy | bulk x1 ms/GB | bulk x8 ms/GB |" in text
    assert "| Gossamer | 300.0 (200.0 – 400.0) | 200.0 |" in text


def test_what_was_not_measured_has_no_section(summary: Summary) -> None:
    summary["open"], summary["memory"], summary["goals"] = {}, {}, []
    summary["http1"], summary["tcp"] = {}, {}
    text = render_markdown(summary)
    assert "open loop" not in text
    assert "Memory" not in text
    assert "Goals" not in text
    assert "HTTP/1.1" not in text
    assert "TCP" not in text


def test_a_missed_goal_stands_out(summary: Summary) -> None:
    summary["goals"][0]["is_met"] = False
    assert "**missed**" in render_markdown(summary)


def test_three_files_are_written(summary: Summary, tmp_path: Path) -> None:
    write_report(tmp_path / "results", summary)
    assert json.loads((tmp_path / "results" / "latest.json").read_text()) == summary
    assert (tmp_path / "results" / "latest.md").read_text() == render_markdown(summary)
    text = "".join(ElementTree.parse(tmp_path / "results" / "latest.svg").getroot().itertext())
    for word in (
        "Gossamer",
        "Envoy",
        "CPU µs per request, 8x4, same headers",
        "added p99",
        "memory MiB",
        "HTTP/1.1: CPU",
        "TCP: bulk x8",
    ):
        assert word in text
