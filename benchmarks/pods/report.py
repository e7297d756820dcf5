"""From starts to figures, and these as Markdown. Pure."""

from __future__ import annotations

from typing import Any

from benchmarks.pods.bench import CALLS, Findings
from benchmarks.report import goals_section, table, with_spread
from benchmarks.summary import Goal, figure

ADDED_MAX_S = 3.0
IMAGE_MAX_MB = 80.0
Summary = dict[str, Any]


def summarise(found: Findings, image_bytes: int, machine: dict[str, Any]) -> Summary:
    plain, meshed = figure(found.plain_s), figure(found.meshed_s)
    added_s, image_mb = round(meshed["median"] - plain["median"], 2), round(image_bytes / 1e6, 1)
    goals: list[Goal] = [
        make_goal("apply to Ready with the sidecar beyond without, s (medians)", ADDED_MAX_S, added_s),
        make_goal("the image beyond its base, MB compressed", IMAGE_MAX_MB, image_mb),
    ]
    return {
        "machine": machine,
        "starts": {"plain_s": found.plain_s, "meshed_s": found.meshed_s},
        "plain_s": plain,
        "meshed_s": meshed,
        "added_s": added_s,
        "idle_mib": figure([kib / 1024 for kib in found.idle_kib]),
        "loaded_mib": round(found.loaded_kib / 1024, 2),
        "image_mb": image_mb,
        "goals": goals,
    }


def make_goal(text: str, limit: float, value: float) -> Goal:
    return {"text": text, "limit": limit, "value": value, "is_met": value <= limit}


def render_markdown(summary: Summary) -> str:
    sections = [
        "# Pods with a sidecar",
        machine_text(summary["machine"], len(summary["starts"]["plain_s"])),
        goals_section(summary),
        start_section(summary),
        memory_section(summary),
    ]
    return "\n\n".join(sections) + "\n"


def machine_text(machine: dict[str, Any], starts: int) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}; {machine['date']}, commit "
        f"{machine['commit']}. A one-node Kubernetes {machine['kubernetes']} on the same machine, of which other work "
        f"used {machine['other_work_share']:.0%} before the run. Each of {starts} turns starts the same pod once "
        "without and once with the sidecar; medians with the spread in brackets."
    )


def start_section(summary: Summary) -> str:
    rows = [
        ["without the sidecar", with_spread(summary["plain_s"], 2)],
        ["with it", with_spread(summary["meshed_s"], 2)],
        ["the difference of the medians", f"{summary['added_s']:.2f}"],
    ]
    return f"## From apply to Ready\n\n{table(['pod', 'seconds'], rows)}"


def memory_section(summary: Summary) -> str:
    rows = [
        ["the sidecar when its pod is Ready, RssAnon MiB", with_spread(summary["idle_mib"])],
        [f"after {CALLS:,} calls, RssAnon MiB", f"{summary['loaded_mib']:.1f}"],
        ["the image beyond its base, MB compressed", f"{summary['image_mb']:.1f}"],
    ]
    return f"## What it weighs\n\n{table(['what', ''], rows)}"
