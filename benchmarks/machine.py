"""What the figures were measured on: without it they mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.plan import Cores, Plan

CHECKOUT = Path(__file__).parents[1]


def describe_machine(commit: str) -> dict[str, Any]:
    """When, of what, and on what: the beginning of every report."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit,
        "cpu": parse_cpu_model(Path("/proc/cpuinfo").read_text()),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
    }


def describe(plan: Plan, cores: Cores) -> dict[str, Any]:
    return {
        **describe_machine(commit()),
        "python": platform.python_version(),
        "proxy_cores": cores.proxy,
        "load_cores": cores.load,
        "versions": {peer.name: peer.version() for peer in plan.peers},
    }


def parse_cpu_model(cpuinfo: str) -> str:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def commit() -> str:
    """The commit, marked when the sources differ from it; `unknown` outside of a git checkout."""
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown"
    return head + ("+changes" if _git("status", "--porcelain", "--", "proxy", "mesh", "benchmarks/native") else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
