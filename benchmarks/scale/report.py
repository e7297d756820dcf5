"""The results as Markdown. Pure."""

from __future__ import annotations

from typing import Any

from benchmarks.report import table
from benchmarks.scale.figures import Figures, per_thousand

Summary = dict[str, Any]
NONE = "–"
TITLES = {
    "popular": "an endpoint of 50 changes, all sidecars follow",
    "few": "the same in any service, few follow",
    "burst": "all services change at once, few follow",
    "stalled": "all follow, some read nothing: the others",
}
RATES = {"popular": "popular_rate_per_s", "few": "few_rate_per_s", "stalled": "popular_rate_per_s"}
PUSHES = {
    "followed_endpoints_to_all_bytes": "the endpoints of all services that a sidecar follows, to each",
    "endpoints_to_all_bytes": "the endpoints of the whole mesh, to each",
    "everything_to_all_bytes": "all resources of the whole mesh, to each",
}


def render_markdown(summary: Summary) -> str:
    sections = [
        "# The control plane at scale",
        cluster_text(summary),
        machine_text(summary["machine"]),
        goals_section(summary["goals"]),
        lag_section(summary),
        cost_section(summary["scenarios"]),
        storms_section(summary["scenarios"]),
        rollout_section(summary["scenarios"]),
        push_section(summary),
        profile_section(summary["scenarios"]),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def cluster_text(summary: Summary) -> str:
    plan = summary["plan"]
    created = ", ".join(f"{kind} {seconds:.0f}" for kind, seconds in summary["creation_s"].items())
    return (
        f"{plan['sidecars']:,} sidecars speak delta ADS over a connection each and follow {plan['follows']} services, "
        f"{plan['popular_services']} of which all follow. {plan['services']:,} Services with {plan['endpoints']:,} "
        "endpoints and as many Pods are in a real kube-apiserver with etcd; to create them took, in seconds: "
        f"{created}. The control plane was ready {summary['ready_s']:.1f} s after its start (CPU "
        f"{summary['ready_cpu_s']:.1f} s), with {summary['ready_mb']:.0f} MB."
    )


def machine_text(machine: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, Python {machine['python']}, "
        f"{versions}; {machine['date']}, commit {machine['commit']}. The machine is shared by the API server, etcd, "
        f"the control plane and all sidecars (one process, {machine['compiled_modules']} of its modules compiled), and "
        f"nothing is pinned; other work used {machine['other_work_share']:.0%} of it before the run. Memory is RssAnon."
    )


def goals_section(goals: list[dict[str, Any]]) -> str:
    rows = [
        [goal["text"], f"{goal['limit']:g}", f"{goal['value']:g}", "met" if goal["is_met"] else "**missed**"]
        for goal in goals
    ]
    return f"## Goals\n\n{table(['goal', 'at most', 'measured', ''], rows)}"


def lag_section(summary: Summary) -> str:
    rows = []
    for name, title in TITLES.items():
        if found := summary["scenarios"].get(name):
            rate = f"at {summary['plan'][RATES[name]]:g}/s" if name in RATES else "at once"
            moments = [spread(found[f"since_{moment}_ms"]) for moment in ("event", "returned", "sent")]
            rows.append([title, f"{found['changes']} {rate}", f"{found['followers']:,.0f}", *moments])
    if not rows:
        return ""
    columns = ["what", "changes", "followers", "since the watch event", "since the write returned", "since it was sent"]
    text = "Milliseconds: median / p99 / most. The watch event is that of a watch beside the control plane's."
    return f"## From a change to the last follower's ACK\n\n{text}\n\n{table(columns, rows)}"


def spread(found: Figures) -> str:
    return f"{found['p50']:,.0f} / {found['p99']:,.0f} / {found['max']:,.0f}" if found else NONE


def cost_section(scenarios: dict[str, Any]) -> str:
    rows = [cost_row(title, scenarios[name]) for name, title in TITLES.items() if name in scenarios]
    columns = [
        "what",
        "CPU s per 1,000 changes",
        "CPU us per response",
        "of it in the main thread",
        "all sidecars' CPU s per 1,000",
        "API server's and etcd's CPU s per 1,000",
        "MB received per change",
        "greatest RssAnon MB",
    ]
    return f"## What changes cost\n\n{table(columns, rows)}" if rows else ""


def cost_row(title: str, found: dict[str, Any]) -> list[str]:
    cost, changes = found["cost"], found["changes"]
    return [
        title,
        f"{per_thousand(cost, changes):.1f}",
        f"{cost['cpu_s'] / max(1, cost['pushes']) * 1e6:.0f}",
        f"{cost['main_thread_cpu_s'] / max(0.01, cost['cpu_s']):.0%}",
        f"{cost['sidecars_cpu_s'] * 1000 / changes:.1f}",
        f"{cost['api_cpu_s'] * 1000 / changes:.1f}",
        f"{cost['received_bytes'] / 1e6 / changes:.3f}",
        f"{cost['peak_mb']:.0f}",
    ]


def storms_section(scenarios: dict[str, Any]) -> str:
    texts = {"start": start_text, "relist": relist_text, "reconnect": reconnect_text, "stalled": stalled_text}
    lines = [f"- {text(scenarios[name])}" for name, text in texts.items() if name in scenarios]
    return "## Storms\n\n" + "\n".join(lines)


def start_text(found: dict[str, Any]) -> str:
    cost = found["cost"]
    return (
        f"**All sidecars connect at once and know nothing**: everyone has everything after {found['seconds']:.1f} s; "
        f"CPU {cost['cpu_s']:.1f} s; {cost['received_bytes'] / 1e6:.1f} MB in {cost['responses']:,.0f} responses; "
        f"{cost['peak_mb']:.0f} MB at most, {found['rest_mb']:.0f} MB at rest."
    )


def relist_text(found: dict[str, Any]) -> str:
    cost = found["cost"]
    return (
        "**A relist of everything** (the API server is killed, its history compacted, then it is started): all was "
        f"read anew {found['seconds_after_ready']:.1f} s after the API server was ready; CPU {cost['cpu_s']:.1f} s; "
        f"{cost['responses']:,.0f} responses; {cost['peak_mb']:.0f} MB at most; {next_text(found)}."
    )


def reconnect_text(found: dict[str, Any]) -> str:
    return (
        f"**The control plane is killed and started, all sidecars come back**: it was ready {found['ready_s']:.1f} s "
        f"after its start; {found['back_after_ready_s']:.1f} s later the last sidecar had named what it has (their "
        f"backoff included), {found['subscribed_after_ready_s']:.1f} s later all was subscribed; CPU "
        f"{found['cpu_s']:.1f} s with the start; {found['pushes']:,.0f} responses, {found['received_bytes'] / 1e6:.2f} "
        f"MB on the sockets; {found['peak_mb']:.0f} MB at most, {found['rest_mb']:.0f} MB at rest; {next_text(found)}."
    )


def next_text(found: dict[str, Any]) -> str:
    lag_ms = found["next_change"]["since_event_ms"]["max"]
    return f"the next change reached the last sidecar after {lag_ms:.0f} ms"


def stalled_text(found: dict[str, Any]) -> str:
    return (
        f"**{found['stalled']} sidecars read nothing during {found['changes']} changes**: "
        f"{found['unacknowledged']:.0f} responses unacknowledged at the end, memory {found['grown_mb']:+.1f} MB; when "
        f"they read again, {found['responses_to_catch_up']:,} responses together "
        f"{'brought' if found['caught_up'] else 'did not bring'} them to the newest state."
    )


def rollout_section(scenarios: dict[str, Any]) -> str:
    found = scenarios.get("rollout")
    if not found:
        return ""
    cost = found["cost"]
    return (
        f"## A rolling restart of {found['replicas']} pods\n\n"
        f"By the real Deployment, ReplicaSet and EndpointSlice controllers (20 requests/s each, their default); every "
        f"sidecar follows the Service. It took {found['seconds']:.0f} s and {found['slice_events']} events of "
        f"EndpointSlices, of which the sidecars saw {found['versions']} states. A sidecar got "
        f"{found['responses_per_sidecar']:.1f} responses; all together {cost['received_bytes'] / 1e6:,.0f} MB. CPU of "
        f"the control plane {cost['cpu_s']:.1f} s ({cost['cpu_s'] / cost['wall_s']:.0%} of a core), of the sidecars "
        f"{cost['sidecars_cpu_s']:.1f} s; {cost['peak_mb']:.0f} MB at most. From the watch event to the last sidecar, "
        f"ms (median / p99 / most): a pod that came {spread(found['added_ms'])}, one that went "
        f"{spread(found['removed_ms'])}."
    )


def push_section(summary: Summary) -> str:
    push = summary["push"]
    ours = push["ours_bytes"]
    if not ours:
        return ""
    sizes = ", ".join(
        f"{item['count']:,} {kind} {item['bytes'] / 1e6:.2f} MB" for kind, item in summary["resources"].items()
    )
    rows = [["what has changed, to who follows it (ours, measured on the sockets)", f"{ours / 1e6:,.2f}", "1"]]
    rows += [[text, f"{push[key] / 1e6:,.1f}", f"{push[key] / ours:,.0f}"] for key, text in PUSHES.items()]
    return (
        "## One change, beside a push of everything\n\n"
        "An endpoint changes in a service that all follow. The first line is measured, the others are computed from "
        f"the real sizes of the resources ({sizes}), without framing.\n\n"
        + table(["what is sent", "MB", "times ours"], rows)
    )


def profile_section(scenarios: dict[str, Any]) -> str:
    found = scenarios.get("profile")
    if not found:
        return ""
    return "\n\n".join(
        ["## Profile of the control plane under changes that all follow", native_text(found), python_text(found)]
    )


def native_text(found: dict[str, Any]) -> str:
    native = found["native"]
    if not native:
        return "perf is not installed: nothing is known of what lies below Python."
    rows = [[item["name"], f"{item['share']:.1%}"] for item in native["libraries"]]
    threads = ", ".join(f"{item['name']} {item['share']:.0%}" for item in native["threads"])
    return (
        f"All CPU by library (perf; by name of the thread: {threads}). Python's cyclic garbage collector takes "
        f"{native['collector_share']:.0%} of it.\n\n{table(['library', 'share'], rows)}"
    )


def python_text(found: dict[str, Any]) -> str:
    python = found["python"]
    if not python:
        return "py-spy is not installed: nothing is known of the functions in Python."
    parts = [
        f"{title}:\n\n" + table(["function", "share"], [[i["function"], f"{i['share']:.1%}"] for i in python[key]])
        for title, key in (("Time in the function itself", "own"), ("Time with all that it calls", "total"))
    ]
    return (
        f"Python's functions (py-spy, {python['samples']:,} samples of the thread that holds the interpreter's lock). "
        + "\n\n".join(parts)
    )
