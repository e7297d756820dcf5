"""The plot of a run, as SVG: CPU by protocol and shape, added latency, memory. Ours stands out, others are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.summary import OURS, Summary, proxy_cpu_us

OURS_COLOUR, OTHERS_COLOUR = "#0f766e", "#a9b8cb"
INK, FAINT = "#1f2937", "#e5e7eb"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "svg.hashsalt": "gossamer",  # the same results give the same file
    "svg.fonttype": "none",
}


def draw(summary: Summary, path: Path) -> None:
    panels = panels_of(summary)
    if not panels:
        return
    with pyplot.rc_context(STYLE):
        columns = min(3, len(panels))
        rows = -(-len(panels) // columns)
        figure, axes = pyplot.subplots(rows, columns, figsize=(4.2 * columns, 2.5 * rows + 0.7), squeeze=False)
        for spot, panel in zip(axes.flat, panels, strict=False):
            draw_bars(spot, *panel, summary["titles"])
        for spot in list(axes.flat)[len(panels) :]:
            spot.axis("off")
        figure.suptitle(
            "gRPC, HTTP/1.1 and raw TCP through a proxy, one worker thread each; less is better",
            x=0.012,
            ha="left",
            weight="bold",
        )
        figure.text(0.012, 0.008, footnote(summary), size=7.5, color="#6b7280")
        figure.tight_layout(rect=(0, 0.03, 1, 0.985), h_pad=2.0, w_pad=2.5)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def panels_of(summary: Summary) -> list[tuple[str, dict[str, float]]]:
    """Each panel's title, and its value by peer."""
    panels = cpu_panels(summary, "closed", "CPU µs per request")
    if opened := summary["open"]:
        rate = summary["method"]["open_rate_per_s"]
        for key, text in (("p50", "p50"), ("p99", "p99")):
            values = {name: max(0.0, figures[f"added_{key}_us"]["median"]) for name, figures in opened.items()}
            panels.append((f"added {text} µs at {rate} requests/s", values))
    if memory := summary["memory"]:
        count = summary["method"]["idle_connections"]
        values = {name: used["connected_kib"] / 1024 for name, used in memory.items()}
        panels.append((f"memory MiB with {count} idle connections", values))
    panels += cpu_panels(summary, "http1", "HTTP/1.1: CPU µs")
    for what in next(iter(summary["tcp"].values()), {}):
        panels.append((f"TCP: {what}", {name: figures[what]["median"] for name, figures in summary["tcp"].items()}))
    return panels


def cpu_panels(summary: Summary, part: str, title: str) -> list[tuple[str, dict[str, float]]]:
    keys = list(dict.fromkeys(key for name in summary[part] for key in proxy_cpu_us(summary, name, part)))
    keys.sort(key=lambda key: key[1])
    return [
        (f"{title}, {shape}, {headers} headers", by_peer(summary, part, (shape, headers))) for shape, headers in keys
    ]


def by_peer(summary: Summary, part: str, key: tuple[str, str]) -> dict[str, float]:
    measured = {name: proxy_cpu_us(summary, name, part) for name in summary[part]}
    return {name: values[key]["median"] for name, values in measured.items() if key in values}


def draw_bars(axes: Axes, title: str, values: dict[str, float], titles: dict[str, Any]) -> None:
    """Horizontal bars; one that dwarfs the others is cut short, its figure is written all the same."""
    names = list(values)
    longest = limit(list(values.values()))
    for row, name in enumerate(names):
        value = values[name]
        axes.barh(row, min(value, longest), color=OURS_COLOUR if name == OURS else OTHERS_COLOUR, height=0.68)
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        cut = " »" if value > longest else ""
        axes.text(
            min(value, longest) + longest * 0.015,
            row,
            text + cut,
            va="center",
            size=8.5,
            weight="bold" if name == OURS else "normal",
        )
    axes.set_yticks(range(len(names)), [titles[name] for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, longest * 1.14)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.set_title(title, loc="left", size=9.5)


def limit(values: list[float]) -> float:
    """Where bars end: at the longest, unless that is over twice the second."""
    ordered = sorted(values, reverse=True)
    if len(ordered) > 1 and ordered[0] > 2 * ordered[1] > 0:
        return 1.25 * ordered[1]
    return ordered[0] or 1.0


def footnote(summary: Summary) -> str:
    machine = summary["machine"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}; "
        f"{machine['date']}; rounds: {summary['method']['rounds']}, medians; memory is RssAnon; » is a bar cut short"
    )
