"""The written results: JSON for programs, Markdown for people, and the plot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.plan import DIRECT
from benchmarks.summary import OURS, Cell, Figure, Summary, ratios

NONE = "–"


def write_report(folder: Path, summary: Summary) -> None:
    from benchmarks.plot import draw  # matplotlib takes a second to import, and only a written report needs it

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(summary, indent=2) + "\n")
    (folder / "latest.md").write_text(render_markdown(summary))
    draw(summary, folder / "latest.svg")


def render_markdown(summary: Summary) -> str:
    sections = [
        "# Benchmark results",
        machine_text(summary),
        *(closed_section(summary, headers) for headers in measured_headers(summary)),
        open_section(summary),
        memory_section(summary),
        *(http1_section(summary, headers) for headers in measured_headers(summary, "http1")),
        tcp_section(summary),
        goals_section(summary),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def machine_text(summary: Summary) -> str:
    machine, method = summary["machine"], summary["method"]
    versions = ", ".join(f"{summary['titles'][name]} {version}" for name, version in machine["versions"].items())
    where = f"proxy on core {machine['proxy_cores']}, load and backends on core {machine['load_cores']}"
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}; "
        f"{machine['date']}, commit {machine['commit']}.\n"
        f"{versions}.\n"
        f"{where if machine['proxy_cores'] else 'Nothing pinned'}; rounds: {method['rounds']}, medians with the "
        f"spread in brackets; windows of {method['closed_window_s']:g} s; "
        f"other work used at most {method['other_work_share']:.0%} of the machine before a round."
    )


def measured_headers(summary: Summary, part: str = "closed") -> list[str]:
    return list(dict.fromkeys(cell["headers"] for cells in summary[part].values() for cell in cells))


def closed_section(summary: Summary, headers: str) -> str:
    return closed_loop(summary, "closed", headers, f"## CPU per request, {headers} headers")


def http1_section(summary: Summary, headers: str) -> str:
    return closed_loop(summary, "http1", headers, f"## HTTP/1.1: CPU per request, {headers} headers")


def closed_loop(summary: Summary, part: str, headers: str, title: str) -> str:
    rows = [
        closed_row(summary["titles"][name], cell)
        for shape in dict.fromkeys(cell["shape"] for cells in summary[part].values() for cell in cells)
        for name, cells in summary[part].items()
        for cell in cells
        if (cell["shape"], cell["headers"]) == (shape, headers)
    ]
    columns = ["shape", "proxy", "CPU us/request", "backends' CPU us/request", "requests/s", "p50 us", "p99 us"]
    texts = [title, table(columns, rows), ratio_text(summary, part, headers)]
    return "\n\n".join(text for text in texts if text)


def closed_row(title: str, cell: Cell) -> list[str]:
    cpu = cell["proxy_cpu_us"]
    return [
        cell["shape"],
        title,
        with_spread(cpu) if cpu else NONE,
        f"{cell['backend_cpu_us']['median']:.1f}",
        f"{cell['rps']['median']:,.0f}",
        f"{cell['p50_us']['median']:,.0f}",
        f"{cell['p99_us']['median']:,.0f}",
    ]


def ratio_text(summary: Summary, part: str, headers: str) -> str:
    lines = []
    for peer in summary[part]:
        found = {shape: ratio for (shape, kind), ratio in ratios(summary, peer, part).items() if kind == headers}
        if peer not in (OURS, DIRECT) and found:
            text = ", ".join(f"{ratio:.2f} at {shape}" for shape, ratio in found.items())
            lines.append(f"- ours / {summary['titles'][peer]}: {text}")
    return "\n".join(lines)


def open_section(summary: Summary) -> str:
    if not summary["open"]:
        return ""
    rows = [
        [
            summary["titles"][name],
            *(with_spread(figures[f"added_{key}_us"], digits=0) for key in ("p50", "p99", "p999")),
            f"{figures['proxy_cpu_us']['median']:.1f}",
        ]
        for name, figures in summary["open"].items()
    ]
    columns = ["proxy", "added p50 us", "added p99 us", "added p99.9 us", "CPU us/request"]
    rate = summary["method"]["open_rate_per_s"]
    return f"## Added latency at {rate} requests/s, open loop\n\n{table(columns, rows)}"


def memory_section(summary: Summary) -> str:
    if not summary["memory"]:
        return ""
    rows = [
        [
            summary["titles"][name],
            f"{used['idle_kib'] / 1024:.1f}",
            f"{used['connected_kib'] / 1024:.1f}",
            f"{used['bytes_per_idle_connection']:,.0f}",
            f"{used['loaded_kib'] / 1024:.1f}" if "loaded_kib" in used else NONE,
        ]
        for name, used in summary["memory"].items()
    ]
    count = summary["method"]["idle_connections"]
    columns = ["proxy", "idle MiB", f"{count} idle connections MiB", "bytes per connection", "after the load MiB"]
    return f"## Memory (RssAnon)\n\n{table(columns, rows)}"


def tcp_section(summary: Summary) -> str:
    if not summary["tcp"]:
        return ""
    columns = ["proxy", *next(iter(summary["tcp"].values()))]
    rows = [[summary["titles"][name], *map(with_spread, figures.values())] for name, figures in summary["tcp"].items()]
    return f"## Raw TCP: CPU, and memory of idle connections\n\n{table(columns, rows)}"


def goals_section(summary: Summary) -> str:
    if not summary["goals"]:
        return ""
    rows = [
        [goal["text"], f"{goal['limit']:g}", f"{goal['value']:g}", "met" if goal["is_met"] else "**missed**"]
        for goal in summary["goals"]
    ]
    return f"## Goals\n\n{table(['goal', 'at most', 'measured', ''], rows)}"


def with_spread(figure: Figure, digits: int = 1) -> str:
    text = f"{figure['median']:,.{digits}f}"
    if figure["min"] == figure["max"]:
        return text
    return f"{text} ({figure['min']:,.{digits}f} – {figure['max']:,.{digits}f})"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
