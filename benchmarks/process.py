"""Processes of one benchmark run: started here, measured here, and always ended here, by the pids that we started.

Every child leads a session of its own, so that ending its process group takes its workers along and nothing else.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkError

STARTUP_S = 15.0
SHUTDOWN_S = 3.0
POLL_S = 0.02


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(argv: Sequence[str], cores: str | None) -> list[str]:
    """The command on these cores only (a list as taskset takes it), all its threads and children included.

    It is also told to end with us, should we be killed before we can end it.
    """
    tied = ["setpriv", "--pdeathsig", "TERM", *argv]
    return tied if cores is None else ["taskset", "-c", cores, *tied]


@contextmanager
def running(
    argv: Sequence[str], log: Path, *, cores: str | None = None, pipes: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """The process while the block runs. Its standard error (and output, unless `pipes`) goes to `log`."""
    pipe = subprocess.PIPE if pipes else None
    with log.open("w") as sink:
        process = subprocess.Popen(
            pinned(argv, cores),
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or sink,
            stderr=sink,
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """Ends the process and its workers: politely, then by force."""
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(SHUTDOWN_S)
    except subprocess.TimeoutExpired:
        pass
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


def wait_until_listening(process: subprocess.Popen[str], port: int, name: str) -> None:
    deadline = time.monotonic() + STARTUP_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchmarkError(f"{name} ended at start with code {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(POLL_S)
    raise BenchmarkError(f"{name} did not listen on 127.0.0.1:{port} within {STARTUP_S:.0f} s")


def tail(log: Path, lines: int = 8) -> str:
    text = log.read_text(errors="replace").strip() if log.exists() else ""
    return "\n".join(text.splitlines()[-lines:]) or "(it printed nothing)"


def process_tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [pid] + [descendant for child in children for descendant in process_tree(child)]


def cpu_us(pids: Sequence[int]) -> float:
    """CPU time of processes so far, of all their threads: clock_getcpuclockid(3)."""
    return sum(time.clock_gettime_ns(~pid << 3 | 2) for pid in pids) / 1000


@contextmanager
def pinned_here(cores: str | None) -> Iterator[None]:
    """This thread, and those that it starts, on these cores while the block runs."""
    before = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def rss_anon_kib(pids: Sequence[int]) -> int:
    """Anonymous resident memory (RssAnon), summed over the processes."""
    return sum(parse_rss_anon_kib(Path(f"/proc/{pid}/status").read_text()) for pid in pids)


def parse_rss_anon_kib(status: str) -> int:
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    raise BenchmarkError("/proc/PID/status has no RssAnon line: the kernel is older than 4.5")


def busy_share(window_s: float = 0.4) -> float:
    """The share of the machine's CPU that is in use now, before we add to it: other work spoils the figures."""
    before = Path("/proc/stat").read_text()
    time.sleep(window_s)
    return parse_busy_share(before, Path("/proc/stat").read_text())


def parse_busy_share(before: str, after: str) -> float:
    """The share between two readings of /proc/stat; its first line is user nice system idle iowait irq ..."""
    first, second = ([int(ticks) for ticks in text.splitlines()[0].split()[1:9]] for text in (before, after))
    spent = [later - earlier for earlier, later in zip(first, second, strict=True)]
    total = sum(spent)
    return 1 - (spent[3] + spent[4]) / total if total else 0.0
