"""Pods that end as Kubernetes ends them, while another pod calls them (DESIGN 3.2, Drain).

A native sidecar: its hook and the application's SIGTERM at the same moment, its own SIGTERM when both are over. A plain
container: SIGTERM to both at once. The pod leaves the endpoints a while later, as it takes until everybody has heard.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mesh.contract import ADMIN_PORT, PROXY_UID
from tests.e2e import proxy_process
from tests.e2e.processes import HOST, Process, eventually
from tests.e2e.transparent.app import HTTP
from tests.e2e.transparent.scene import MESH, WEB, Meshed, Scene, ask
from tests.netns.network import GATEWAYS, Pod

SPREAD_S = 0.5
DELAY_S, GRACE_S = 1.0, 15.0
_INBOUND = 'request_total{direction="inbound"'
# What a busy machine may take until somebody has seen what happened.
_SEEN_S = 5.0
# Longer than any of these deadlines together.
_END_S = 60.0


@dataclass(frozen=True)
class Form:
    """How a pod is made and ends; `linger_s` is what the application takes after SIGTERM."""

    is_native: bool = True
    linger_s: float = 0.0
    workers: int = 1
    timeout_s: float = 10.0


@dataclass(frozen=True)
class End:
    """Of the pod at `address`: when it was told, when its application had ended, and what came of that one's calls."""

    address: str
    told_s: float
    ended_s: float
    calls: list[str]


class EndingScene(Scene):
    """`forms` are those of the pods that are started from now on, by their name."""

    def __init__(self, folder: Path, forms: dict[str, Form]) -> None:
        super().__init__(folder)
        self.forms = forms

    def form(self, name: str) -> Form:
        return self.forms.get(name, Form())

    def start_application(self, pod: Pod) -> Process:
        return start_server(self.stack, pod, self.form(pod.name).linger_s, f"http://{WEB[4]}:{HTTP}")

    def add_sidecar(self, pod: Pod, application: Process | None) -> None:
        form = self.form(pod.name)
        pod.run([*MESH, "proxy", "init"], check=True)
        times = [f"GOSSAMER_DRAIN_DELAY={DELAY_S}s", f"GOSSAMER_DRAIN_TIMEOUT={form.timeout_s}s"]
        if not form.is_native:
            times.append(f"GOSSAMER_SHUTDOWN_GRACE={GRACE_S}s")
        place = ["--control-plane", f"{GATEWAYS[4]}:4150", "--namespace", "shop", "--admin", f"{HOST}:{ADMIN_PORT}"]
        options = ["--intercept", *place, "--workers", str(form.workers)]
        sidecar = pod.start(["env", *times, *proxy_process.command(), *options], PROXY_UID, PROXY_UID)
        self.stack.enter_context(sidecar)
        self.meshed[pod.name] = Meshed(pod, sidecar, application)

    def others(self, name: str) -> list[Pod]:
        return [one.pod for one in self.meshed.values() if one.application is not None and one.pod.name != name]

    def load(self, rate: float) -> Load:
        pods = [one.pod.addresses[4] for one in self.meshed.values() if one.application is not None]
        return Load(self.client, rate, WEB[4], *pods)

    def end(self, name: str) -> End:
        one, form = self.meshed[name], self.form(name)
        application = one.application
        assert application is not None
        told_s = time.monotonic()
        application.signal(signal.SIGTERM)
        if form.is_native:
            with one.pod.start([*MESH, "proxy", "drain"]) as hook:
                self._leave(name)
                assert hook.wait(_END_S) == 0, hook.stderr
        else:
            one.sidecar.signal(signal.SIGTERM)
            self._leave(name)
        assert application.wait(_END_S) == 0, application.stderr
        ended_s = time.monotonic()
        if form.is_native:
            one.sidecar.signal(signal.SIGTERM)
        assert one.sidecar.wait(_END_S) == 0, one.sidecar.stderr
        self.check(one.sidecar)
        return End(one.pod.addresses[4], told_s, ended_s, json.loads(application.read_line()))

    def _leave(self, name: str) -> None:
        time.sleep(SPREAD_S)
        self.write_manifests(self.others(name))

    def wait_requests(self, *names: str) -> None:
        """Until each of these pods has had some more."""
        before = {name: self._count(name) for name in names}
        eventually(lambda: all(self._count(name) > before[name] + 20 for name in names), "requests at all of them", 60)

    def _count(self, name: str) -> float:
        """Each worker has figures of its own."""
        pod, found = self.meshed[name].pod, 0.0
        for worker in range(self.form(name).workers):
            lines = ask(pod, HOST, ADMIN_PORT + worker, "/metrics")[1].splitlines()
            found += sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(_INBOUND))
        return found

    def begin(self, name: str, form: Form) -> None:
        """The pod's successor; it has its addresses, since that makes no difference to anybody."""
        self.forms[name] = form
        pod = self.meshed[name].pod
        self.add_sidecar(pod, self.start_application(pod))
        eventually(self.meshed[name].is_ready, f"the sidecar of {name}")
        self.write_manifests([*self.others(name), pod])


def start_server(stack: ExitStack, pod: Pod, linger_s: float, own_calls: str) -> Process:
    program = [sys.executable, "-m", "tests.e2e.transparent.steady_server"]
    application = stack.enter_context(pod.start([*program, pod.name, str(linger_s), own_calls]))
    assert application.read_line() == "serving", application.stderr
    return application


@dataclass
class Found:
    """What the load has seen, once it is over."""

    answers: dict[str, dict[str, int]]
    failures: dict[str, list[str]]
    lives: list[dict[str, Any]]
    said: list[str]
    latest_s: float


class Load:
    """Steady load from a pod to a host, and raw connections to it and to others, while the block runs."""

    def __init__(self, client: Pod, rate: float, host: str, *others: str) -> None:
        program = [sys.executable, "-m", "tests.e2e.transparent.steady_load", str(rate), host, *others]
        self.process = client.start(program)

    def __enter__(self) -> Self:
        assert self.process.read_line() == "loading", self.process.stderr
        return self

    def finish(self) -> Found:
        self.process.signal(signal.SIGTERM)
        line = self.process.read_line()
        assert self.process.wait(_END_S) == 0, self.process.stderr
        found = json.loads(line)
        kinds: dict[str, Any] = found["kinds"]
        answers = {name: kind["answers"] for name, kind in kinds.items()}
        failures = {name: kind["failures"] for name, kind in kinds.items()}
        return Found(answers, failures, found["raw"], found["said"], found["latest_s"])

    def __exit__(self, *exc_info: object) -> None:
        self.process.close()


def check_raw(found: Found, ends: list[End], after_s: float) -> None:
    """Each raw connection that has ended has done so in its backend's last moments, so long after that was told."""
    ended = [life for life in found.lives if life["bytes"] and life["end"]]
    assert {end.address for end in ends} <= {life["host"] for life in ended}
    for life in ended:
        assert any(end.told_s + after_s <= life["ended_s"] <= end.ended_s + _SEEN_S for end in ends), (life, ends)
