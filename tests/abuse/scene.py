"""The scene of an attack: the real proxy, real grpcio servers behind it, a real grpcio client beside the attacker.

`Scene.attacked` holds what must be true of every attack: the honest client's calls all succeed and none hangs, and the
proxy's memory grows by no more than docs/limits.md says. GOSSAMER_ABUSE_REPORT names a file for the figures, which
`figures.py` judges; they are of the sidecar, so attackers have only the CPU that nobody else wants then
(`spare_time.py`), as those have who attack from elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

from tests.abuse.beating import find_turns
from tests.abuse.sidecar import Sidecar
from tests.abuse.spare_time import in_spare_time, list_threads
from tests.e2e.processes import ROOT, eventually
from tests.e2e.proxy_process import Proxy
from tests.e2e.test_streaming_limits import PeakMemory

# Nothing on this machine takes so long by itself: beyond, the attack has stopped the proxy.
MAX_P99_MS = 5_000.0
MIN_LOAD_S = 0.4
# Where figures are asked for, what the attacks are compared with is known better.
IDLE_LOAD_S = 2.0
REPORT = os.environ.get("GOSSAMER_ABUSE_REPORT")
# A sidecar that nobody asks anything wants less than this part of a core.
CALM_S, CALM_PART = 0.05, 0.2
SHARED_BYTES, SHARED_S = 128 * 1024, 1.1
FAULT = re.compile(r'gossamer_protocol_faults_total\{side="(\w+)",reason="([^"]*)"\} (\d+)')
FAILURE = re.compile(r'gossamer_failures_total\{reason="([^"]*)"\} (\d+)')
Counts = dict[tuple[str, str], int]


class Honest:
    """`honest.py` as a process; `enter` is what a command begins with to run somewhere else."""

    def __init__(self, enter: Sequence[str] = ()) -> None:
        self.errors = TemporaryFile()  # noqa: SIM115 - closed by close()
        self.popen = subprocess.Popen(
            [*enter, sys.executable, str(Path(__file__).with_name("honest.py"))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, command: str) -> str:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(command + "\n")
        self.popen.stdin.flush()
        answer = self.popen.stdout.readline()
        if not answer:
            self.errors.seek(0)
            raise AssertionError(f"the honest client died:\n{self.errors.read().decode()}")
        return answer

    def close(self) -> None:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.close()
        self.popen.wait(30)
        self.popen.stdout.close()
        self.errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Scene:
    """A proxy and the honest clients on it; `targets` is the command that tells them where to go."""

    def __init__(self, proxy: Proxy | Sidecar, honest: Honest, targets: str = "") -> None:
        self.proxy, self.honest = proxy, honest
        honest.ask(targets or f"target {proxy.address}")
        self.turns = find_turns(proxy.popen.pid)
        self.kind = type(self).__name__
        if REPORT:
            self.measure_idle()

    def measure_idle(self) -> None:
        """How long the honest clients' calls take while nobody attacks, nor has yet."""
        self.honest.ask("begin")
        time.sleep(IDLE_LOAD_S)
        report({"idle": self.kind, **json.loads(self.honest.ask("end"))})

    def wait_calm(self) -> None:
        """Until the last attack's connections are gone: what it leaves to be done is not the next one's."""
        pid = self.proxy.popen.pid

        def is_calm() -> bool:
            before_s = sum(read_schedule(pid))
            time.sleep(CALM_S)
            return sum(read_schedule(pid)) - before_s < CALM_S * CALM_PART

        eventually(is_calm, "the sidecar to be calm")

    def wait_fault(self, side: str, reason: str) -> None:
        """Until a fault for this reason has been counted."""
        eventually(lambda: (side, reason) in self.count_faults(), f"the fault `{reason}`", 60)

    def count_faults(self) -> Counts:
        """gossamer_protocol_faults_total by side and reason."""
        return {(side, reason): int(value) for side, reason, value in FAULT.findall(self.read_metrics())}

    def read_metrics(self) -> str:
        """As they are now: a large page is written for all who ask within a second (`proxy/admin/sharing.py`)."""
        text = self.proxy.admin_request("/metrics")[1]
        if len(text) < SHARED_BYTES:
            return text
        time.sleep(SHARED_S)
        return self.proxy.admin_request("/metrics")[1]

    def count_failures(self) -> dict[str, int]:
        return {reason: int(value) for reason, value in FAILURE.findall(self.read_metrics())}

    @contextmanager
    def attacked(self, name: str, max_grown_kib: int = 4_096) -> Iterator[Counts]:
        """Around an attack; afterwards the counts that it yields are the faults that were counted meanwhile."""
        self.wait_calm()
        before = self.count_faults()
        counts: Counts = {}
        self.honest.ask("begin")
        pid = self.proxy.popen.pid
        ran, waited = read_schedule(pid)
        if self.turns:
            self.turns.reset()
        attackers = list_threads()
        with PeakMemory(self.proxy) as memory:
            begun_s = time.monotonic()
            with in_spare_time(attackers if REPORT else ()):
                yield counts
            # An attack that is over at once is looked at for a while too.
            time.sleep(max(0.0, MIN_LOAD_S - time.monotonic() + begun_s))
            figures: dict[str, Any] = json.loads(self.honest.ask("end"))
        took_s = time.monotonic() - begun_s
        ran, waited = (now - before for now, before in zip(read_schedule(pid), (ran, waited), strict=True))
        after = self.count_faults()
        counts.update({key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)})
        told = {"kind": self.kind, "grown_kib": memory.grown_kib, "faults": list(counts)}
        told |= {"cpu": round(ran / took_s, 2), "waited": round(waited / took_s, 2)}
        told |= {"turn_ms": round(self.turns.longest_s * 1000, 2)} if self.turns else {}
        report({"attack": name, **figures, **told})
        assert not figures["failures"], figures["failures"][:5]
        assert figures["calls"]
        assert figures["p99_ms"] < MAX_P99_MS
        assert memory.grown_kib <= max_grown_kib


def read_schedule(pid: int) -> tuple[float, float]:
    """For how many seconds a process has run, and has waited for a core that others had (proc(5), schedstat)."""
    ran_ns, waited_ns, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return int(ran_ns) / 1e9, int(waited_ns) / 1e9


def report(figures: dict[str, Any]) -> None:
    if REPORT:
        with open(REPORT, "a") as file:
            file.write(json.dumps(figures) + "\n")
