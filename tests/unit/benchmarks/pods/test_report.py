from __future__ import annotations

from benchmarks.pods.bench import Findings
from benchmarks.pods.report import render_markdown, summarise

MACHINE = dict.fromkeys(("date", "commit", "cpu", "kernel", "kubernetes"), "x") | {"cores": 2, "other_work_share": 0.1}
FOUND = Findings(plain_s=[1.0, 1.2, 9.0], meshed_s=[4.0, 4.1, 4.3], idle_kib=[10240, 12288], loaded_kib=20480)


def test_what_is_added_is_the_difference_of_the_medians() -> None:
    summary = summarise(FOUND, 20_000_000, MACHINE)
    assert summary["added_s"] == 2.9
    assert [goal["is_met"] for goal in summary["goals"]] == [True, True]
    slow = Findings(FOUND.plain_s, [5.0], FOUND.idle_kib, FOUND.loaded_kib)
    assert [goal["is_met"] for goal in summarise(slow, 80_100_000, MACHINE)["goals"]] == [False, False]


def test_the_report_has_figures_with_their_spread() -> None:
    text = render_markdown(summarise(FOUND, 20_000_000, MACHINE))
    assert "| without the sidecar | 1.20 (1.00 – 9.00) |" in text
    assert "| with it | 4.10 (4.00 – 4.30) |" in text
    assert "RssAnon MiB | 11.0 (10.0 – 12.0) |" in text
    assert "Each of 3 turns" in text
