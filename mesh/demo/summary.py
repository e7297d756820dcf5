"""The end of the story: a few sentences for people, one JSON object for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from mesh.demo.figures import OK, PodFigures
from mesh.demo.story import Mode, Story
from mesh.demo.verdict import KillReport


def to_json(story: Story) -> dict[str, object]:
    document: dict[str, object] = {
        "modes": {name: _mode_json(mode) for name, mode in story.modes.items()},
        "slow_pod": story.slow_pod,
        "failing_method": story.failing_method,
    }
    if story.kill is not None:
        document["kill"] = asdict(story.kill)
    return document


def _mode_json(mode: Mode) -> dict[str, object]:
    failures = [
        {"method": path, "pod": pod, "grpc_status": code, "count": count}
        for (path, pod, code), count in sorted(mode.outcomes.items(), key=str)
        if code != OK
    ]
    return {"pods": [_pod_json(row) for row in mode.rows], "failures": failures}


def _pod_json(row: PodFigures) -> dict[str, object]:
    return {
        "service": row.service,
        "pod": row.pod,
        "requests": row.requests,
        "share": round(row.share, 4),
        "success_rate": _rounded(row.success_rate, 4),
        "p50_ms": _rounded(row.p50_ms, 1),
        "p99_ms": _rounded(row.p99_ms, 1),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def to_text(story: Story) -> str:
    return "\n".join(("", "Summary", *(f"  {sentence}" for sentence in _sentences(story))))


def _sentences(story: Story) -> Iterator[str]:
    unmeshed, meshed = story.modes["unmeshed"], story.modes["meshed"]
    for name in dict.fromkeys(row.service for row in unmeshed.rows):
        busiest = max((row for row in unmeshed.rows if row.service == name), key=lambda row: row.share)
        shares = ", ".join(f"{row.pod} {row.share:.0%}" for row in meshed.rows if row.service == name)
        yield f"{name}: without the mesh {busiest.pod} had {busiest.share:.0%} of the requests; with it {shares}."
    yield _slow_sentence(story.slow_pod, meshed.rows)
    yield _failing_sentence(story.failing_method, meshed)
    if story.kill is not None:
        yield _kill_sentence(story.kill)


def _slow_sentence(pod: str | None, rows: list[PodFigures]) -> str:
    row = next((row for row in rows if row.pod == pod), None)
    if row is None:
        return "Slow pod: none stands out."
    share = f"it got {row.share:.0%} of {row.service}'s requests"
    return f"Slow pod: {row.pod}; half of its answers take {row.p50_ms:.0f} ms or more, and {share}."


def _failing_sentence(method: str | None, mode: Mode) -> str:
    if method is None:
        return "Failing method: none stands out."
    codes = sorted({code for (path, _pod, code) in mode.outcomes if path == method and code != OK})
    reached = {pod for (path, pod, _code) in mode.outcomes if path == method}
    failing = {pod for (path, pod, code) in mode.outcomes if path == method and code != OK}
    fault = ": the method's fault, not a pod's" if failing == reached else ""
    pods = f"{len(failing)} of the {len(reached)} pods that it reached"
    return f"Failing method: {method}, with {' and '.join(codes)} on {pods}{fault}."


def _kill_sentence(kill: KillReport) -> str:
    return (
        f"Killed {kill.pod}: {kill.in_flight} requests were in flight on it, of which {kill.failed_in_flight} failed; "
        f"{kill.failed_beyond} others failed."
    )
