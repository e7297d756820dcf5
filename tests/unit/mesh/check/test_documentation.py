"""docs/checks.md has a section for each check, and for nothing else."""

from __future__ import annotations

from pathlib import Path

from mesh.check.catalogue import ALL, PRE, PROXY

TEXT = (Path(__file__).parents[4] / "docs" / "checks.md").read_text()


def test_every_line_links_to_a_section_with_cause_and_cure() -> None:
    names = [check.name for groups in (ALL, PRE) for checks in groups.values() for check in checks]
    sections = dict(part.split("\n", 1) for part in TEXT.split("\n### ")[1:])
    assert set(sections) == set(names)
    assert not [
        name for name, text in sections.items() if "**Cure:**" not in text and name not in ("control-plane", "injector")
    ]


def test_what_a_check_needs_comes_before_it() -> None:
    for groups in (ALL, PRE, PROXY):
        seen: set[str] = set()
        for checks in groups.values():
            for check in checks:
                assert set(check.needs) <= seen
                seen.add(check.name)
