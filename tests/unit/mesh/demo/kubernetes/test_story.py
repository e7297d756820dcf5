from __future__ import annotations

import io
import json

import pytest

from mesh.demo.kubernetes.kubectl import kubectl
from mesh.demo.kubernetes.story import Watch
from mesh.demo.process import DemoError
from mesh.demo.screen import PlainScreen

PODS = [("emoji", ["emoji-1", "emoji-2"])]


def test_reports_become_figures_whatever_the_pods_clock_says() -> None:
    shown = io.StringIO()
    watch = Watch(PODS, PlainScreen(shown))
    watch.take('{"started": 900000.5}')
    for _ in range(4):
        watch.take(json.dumps({"calls": [["/a.B/c", "emoji-1", "OK", 900000.6, 0.05]]}))
    first, second = watch.tally.figures(PODS, 1.0)
    assert (first.requests, first.share, second.requests) == (4, 1.0, 0)
    assert "emoji-2 0/s" in shown.getvalue()
    assert "emoji-1 0/s" not in shown.getvalue()  # it is of the last seconds


def test_what_else_the_visitors_say_is_why_they_failed() -> None:
    with pytest.raises(DemoError, match="web failed: no connection to emoji"):
        Watch(PODS, PlainScreen(io.StringIO())).take("no connection to emoji within 60 s\n")


async def test_a_missing_kubectl_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(DemoError, match="kubectl is not on the PATH"):
        await kubectl("get", "pods")
