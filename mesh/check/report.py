"""The lines as people and programs read them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from mesh.check.form import Form
from mesh.check.line import Line, Verdict
from mesh.log import escape
from mesh.version import VERSION

WRONG = (Verdict.WARNING, Verdict.FAILED)


def is_green(lines: Iterable[Line]) -> bool:
    return all(line.finding.verdict is not Verdict.FAILED for line in lines)


def render(lines: list[Line], form: Form) -> str:
    if form is Form.JSON:
        return json.dumps(
            {"version": VERSION, "success": is_green(lines), "checks": [to_json(line) for line in lines]}, indent=2
        )
    shown = [line for line in lines if form is Form.TABLE or line.finding.verdict in WRONG]
    return "\n".join([*list_rows(shown), summarize(lines)])


def to_json(line: Line) -> dict[str, str]:
    return {
        "name": line.check.name,
        "group": line.group,
        "title": line.check.title,
        "verdict": line.finding.verdict.value,
        "cause": line.finding.cause,
        "cure": line.finding.cure,
        "link": line.link,
    }


def list_rows(lines: list[Line]) -> Iterator[str]:
    for group, members in groupby(lines, key=lambda line: line.group):
        yield group
        for line in members:
            yield from list_row(line)
        yield ""


def list_row(line: Line) -> Iterator[str]:
    """What is well takes one row, what is wrong says why, what to do, and where there is more."""
    verdict, cause, cure, _ = line.finding
    if verdict not in WRONG:
        yield f"  {verdict.value:<8} {line.check.title}" + (f" ({escape(cause)})" if cause else "")
        return
    yield f"  {verdict.value:<8} {line.check.title}"
    yield f"           cause: {escape(cause)}"
    yield f"           cure:  {escape(cure)}"
    yield f"           see:   {line.link}"


def summarize(lines: list[Line]) -> str:
    counts = Counter(line.finding.verdict for line in lines)
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict])
