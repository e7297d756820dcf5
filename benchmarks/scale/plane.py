"""The control plane's process: started and killed here, and asked what it has used and done."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from benchmarks.errors import BenchmarkError
from benchmarks.process import parse_rss_anon_kib, running, tail
from mesh.contract import ADMIN_PORT, XDS_PORT

READY_S = 120.0
SAMPLE_S = 0.05
_SAMPLE = re.compile(r"^([a-z_]+)(\{[^}]*\})? (\S+)$", re.MULTILINE)
_CLOCK_HZ = os.sysconf("SC_CLK_TCK")
_LAUNCH = "import sys; from controlplane.main import main; sys.exit(main(sys.argv[1:]))"


class Plane:
    """`with Plane(...) as plane`; `kill` and `start` may follow. Its address is its own, so its ports stay free."""

    def __init__(self, kubeconfig: Path, host: str, folder: Path) -> None:
        self.host, self.port, self.log = host, XDS_PORT, folder / "controlplane.log"
        self._command = [
            *(sys.executable, "-c", _LAUNCH, "--source", "kubernetes", "--kubeconfig", str(kubeconfig)),
            *("--xds", f"{host}:{XDS_PORT}", "--admin", f"{host}:{ADMIN_PORT}"),
        ]
        self._stack = ExitStack()
        self.pid = 0
        self.peak_kib = 0
        self._sampling = threading.Event()

    def __enter__(self) -> Self:
        self._sampling.set()
        threading.Thread(target=self._sample, daemon=True).start()
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._sampling.clear()
        self._stack.close()

    def start(self) -> None:
        """Start it; `wait_ready` may follow."""
        self.pid = self._stack.enter_context(running(self._command, self.log)).pid

    def kill(self) -> None:
        """kill -9."""
        pid, self.pid = self.pid, 0
        os.kill(pid, 9)
        self._stack.close()

    def wait_ready(self) -> float:
        """When it was ready, to 10 ms."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self._is_ready():
                return time.monotonic()
            if not Path(f"/proc/{self.pid}").exists():
                break
            time.sleep(0.01)
        raise BenchmarkError(f"the control plane is not ready after {READY_S:.0f} s:\n{tail(self.log)}")

    def _is_ready(self) -> bool:
        try:
            return bool(self._get("/ready"))
        except OSError:
            return False

    def _get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://{self.host}:{ADMIN_PORT}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def metrics(self) -> dict[str, float]:
        """All its own samples, by name; those of different labels are added up."""
        return parse_metrics(self._get("/metrics"))

    def samples(self, name: str) -> dict[str, float]:
        """Those of one metric of its own, by their labels."""
        return parse_samples(f"controlplane_{name}", self._get("/metrics"))

    def staleness_s(self) -> float:
        """Since the data of some kind were last known to be current."""
        return max(self.samples("source_staleness_seconds").values())

    def cpu_s(self) -> float:
        return read_cpu_s(self.pid)

    def threads_cpu_s(self) -> dict[str, float]:
        """CPU by thread: the main one, and all others together."""
        times = {int(task.name): parse_cpu_s((task / "stat").read_text()) for task in self._tasks()}
        return {"main": times[self.pid], "others": sum(times.values()) - times[self.pid]}

    def _tasks(self) -> Iterator[Path]:
        return Path(f"/proc/{self.pid}/task").iterdir()

    def memory_mb(self) -> float:
        return parse_rss_anon_kib(Path(f"/proc/{self.pid}/status").read_text()) * 1024 / 1e6

    @contextmanager
    def peak(self) -> Iterator[list[float]]:
        """The list holds the greatest RssAnon in MB once the block has ended."""
        self.peak_kib = 0
        found: list[float] = []
        yield found
        found.append(self.peak_kib * 1024 / 1e6)

    def _sample(self) -> None:
        while self._sampling.is_set():
            try:
                status = Path(f"/proc/{self.pid}/status").read_text()
                self.peak_kib = max(self.peak_kib, parse_rss_anon_kib(status))
            except (OSError, BenchmarkError):  # it is being restarted, or has no memory any more
                pass
            time.sleep(SAMPLE_S)


def read_cpu_s(pid: int) -> float:
    return parse_cpu_s(Path(f"/proc/{pid}/stat").read_text())


def parse_cpu_s(stat: str) -> float:
    """User and system time of a process or thread, of /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _CLOCK_HZ


def parse_samples(name: str, text: str) -> dict[str, float]:
    return {labels: float(value) for found, labels, value in _SAMPLE.findall(text) if found == name}


def parse_metrics(text: str) -> dict[str, float]:
    totals: dict[str, float] = {}
    for name, _, value in _SAMPLE.findall(text):
        if name.startswith("controlplane_"):
            key = name.removeprefix("controlplane_")
            totals[key] = totals.get(key, 0.0) + float(value)
    return totals
