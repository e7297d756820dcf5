"""The story: start the application, show it without the mesh, then with it, and judge what was seen."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.demo.application import KILLED_POD, PODS, PODS_PER_SERVICE, SERVICES
from mesh.demo.figures import PodFigures
from mesh.demo.process import Child, Children
from mesh.demo.screen import Screen
from mesh.demo.sidecar import start_mesh
from mesh.demo.verdict import KillReport, Outcomes, failing_method, slow_pod
from mesh.demo.watch import Kill, Watch

WARM_UP_S = 1.5
START_TIMEOUT_S = 60.0

TITLES = {
    "unmeshed": "Without the mesh: each gRPC channel is one connection, and a connection ends in one pod",
    "meshed": "With the mesh: the sidecar gives each request to the pod that answers soonest",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the user asked for."""

    duration_s: float
    rate: float
    kill_pod: bool


@dataclass(frozen=True, slots=True)
class Mode:
    """The figures of one mode."""

    rows: list[PodFigures]
    outcomes: Outcomes


@dataclass(frozen=True, slots=True)
class Story:
    """All that was seen, and the verdict."""

    modes: Mapping[str, Mode]
    slow_pod: str | None
    failing_method: str | None
    kill: KillReport | None


async def tell(plan: Plan, screen: Screen) -> Story:
    with tempfile.TemporaryDirectory(prefix="mesh-demo-") as name:
        directory = Path(name)
        children = Children(directory)
        try:
            return await _Narrator(plan, screen, children, directory).tell()
        finally:
            children.stop_all()
            screen.close()


class _Narrator:
    """Runs the parts in turn; `tell` owns their end."""

    def __init__(self, plan: Plan, screen: Screen, children: Children, directory: Path) -> None:
        self._plan = plan
        self._screen = screen
        self._children = children
        self._directory = directory
        self._replicas: dict[str, Child] = {}

    async def tell(self) -> Story:
        services = await self._start_replicas()
        endpoints = {name: list(pods.values()) for name, pods in services.items()}
        unmeshed = await self._run_mode("unmeshed", endpoints, kill=None)
        self._screen.note("\nStarting the control plane (mesh controlplane) and the sidecar (mesh proxy) ...")
        sidecar = await start_mesh(self._children, self._directory, services)
        kill = Kill(self._replicas[KILLED_POD], self._plan.duration_s / 2) if self._plan.kill_pod else None
        meshed = await self._run_mode("meshed", {name: [sidecar] for name in endpoints}, kill)
        method = failing_method(meshed.outcomes)
        report = kill.report(meshed.outcomes, method) if kill else None
        return Story({"unmeshed": unmeshed, "meshed": meshed}, slow_pod(meshed.rows), method, report)

    async def _start_replicas(self) -> dict[str, dict[str, str]]:
        """From each service to its pods and their addresses."""
        self._screen.note(f"Starting {PODS_PER_SERVICE} replicas of each of {' and '.join(SERVICES)} ...")
        for name, pods in PODS:
            for pod in pods:
                arguments = ["-m", "mesh.demo.replica", "--service", name, "--pod", pod]
                self._replicas[pod] = self._children.start(pod, arguments, reports=True)
        return {name: {pod: await _address(self._replicas[pod]) for pod in pods} for name, pods in PODS}

    async def _run_mode(self, mode: str, addresses: Mapping[str, Sequence[str]], kill: Kill | None) -> Mode:
        self._screen.begin(TITLES[mode])
        arguments = ["-m", "mesh.demo.front", "--warm-up", str(WARM_UP_S)]
        arguments += ["--rate", str(self._plan.rate), "--duration", str(self._plan.duration_s)]
        for name, values in addresses.items():
            arguments += [f"--{name}", ",".join(values)]
        front = self._children.start(f"web front {mode}", arguments, reports=True)
        watch = Watch(front, self._children, self._screen, kill)
        await watch.run(WARM_UP_S + self._plan.duration_s)
        rows = watch.tally.figures(PODS, self._plan.duration_s)
        self._screen.end(rows)
        return Mode(rows, watch.tally.outcomes)


async def _address(replica: Child) -> str:
    """Where a replica listens: the first line that it prints."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await (await replica.lines()).readline()
            if not line:
                await replica.wait()
    except TimeoutError:
        raise replica.start_failure() from None
    if not line:
        raise replica.start_failure()
    return f"127.0.0.1:{json.loads(line)['port']}"
