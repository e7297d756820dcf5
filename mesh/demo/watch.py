"""One mode as it runs: the front's reports are read and shown, all processes watched, a pod killed when it is time."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress

from mesh.demo.application import PODS, SERVICES
from mesh.demo.figures import Call, Tally, Window
from mesh.demo.process import Child, Children
from mesh.demo.screen import Screen
from mesh.demo.verdict import KillReport, KillWatch, Outcomes

GRACE_S = 40.0  # what a front may take beyond its load: to start, to connect, to wait for the last answers
POLL_EVERY_S = 0.1
WINDOW_S = 3.0


class Kill:
    """The pod to be killed, and what its end costs."""

    def __init__(self, victim: Child, after_s: float) -> None:
        self._victim = victim
        self._after_s = after_s
        self._watch: KillWatch | None = None

    def poll(self, running_s: float, screen: Screen, children: Children) -> None:
        """Kill the pod once, when the mode has run for long enough."""
        if self._watch is not None or running_s < self._after_s:
            return
        killed_s = time.monotonic()
        children.release(self._victim)
        self._victim.kill()
        pod = self._victim.name
        service = next(service for service in SERVICES.values() if pod in service.pods)
        self._watch = KillWatch(pod, service.grpc_name, killed_s, gone_s=time.monotonic())
        screen.note(f"Killed {pod} (SIGKILL).")

    def add(self, call: Call) -> None:
        if self._watch is not None:
            self._watch.add(call)

    def report(self, outcomes: Outcomes, method: str | None) -> KillReport | None:
        return self._watch.report(outcomes, method) if self._watch is not None else None


class Watch:
    """Follows one web front until it has sent its load."""

    def __init__(self, front: Child, children: Children, screen: Screen, kill: Kill | None) -> None:
        self.tally = Tally()
        self._window = Window(WINDOW_S)
        self._front = front
        self._children = children
        self._screen = screen
        self._kill = kill
        self._started_s: float | None = None

    async def run(self, load_s: float) -> None:
        lines = await self._front.lines()
        deadline_s = time.monotonic() + load_s + GRACE_S
        line: bytes | None = None
        while line != b"":
            line = None
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_EVERY_S):
                    line = await lines.readline()
            if line:
                self._take(json.loads(line))
            self._look(deadline_s)
        await self._finish(deadline_s)

    async def _finish(self, deadline_s: float) -> None:
        while self._front.process.poll() is None:
            self._look(deadline_s)
            await asyncio.sleep(POLL_EVERY_S)
        self._front.check_success()
        self._children.release(self._front)
        if self._started_s is None:
            raise self._front.failure("ended before it had sent a request")

    def _look(self, deadline_s: float) -> None:
        now_s = time.monotonic()
        self._children.check(besides=self._front)
        if now_s > deadline_s:
            raise self._front.failure("did not finish in time")
        if self._kill is not None and self._started_s is not None:
            self._kill.poll(now_s - self._started_s, self._screen, self._children)

    def _take(self, report: dict[str, object]) -> None:
        match report:
            case {"started": float(started_s)}:
                self._started_s = started_s
            case {"calls": list(calls)}:
                for call in calls:
                    self._add(Call(*call))
                self._show()

    def _add(self, call: Call) -> None:
        self.tally.add(call)
        self._window.add(call)
        if self._kill is not None:
            self._kill.add(call)

    def _show(self) -> None:
        now_s = time.monotonic()
        if self._started_s is not None:
            span_s = min(WINDOW_S, now_s - self._started_s)
            self._screen.update(self._window.tally(now_s).figures(PODS, span_s))
