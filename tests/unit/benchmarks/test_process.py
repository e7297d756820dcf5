from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.process import (
    free_port,
    parse_busy_share,
    parse_rss_anon_kib,
    pinned,
    process_tree,
    rss_anon_kib,
    running,
    tail,
    wait_until_listening,
)

# A parent that ignores SIGTERM, with a child: what must not be left behind.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    print(child, flush=True)
time.sleep(60)
"""


def test_rss_anon_is_read_from_status() -> None:
    assert parse_rss_anon_kib("VmRSS:\t  20 kB\nRssAnon:\t   12345 kB\nRssFile:\t 7 kB\n") == 12345
    with pytest.raises(BenchmarkError, match="RssAnon"):
        parse_rss_anon_kib("VmRSS:\t 20 kB\n")


def test_our_own_memory_is_not_nothing() -> None:
    assert rss_anon_kib([os.getpid()]) > 1000


def test_idle_and_waiting_ticks_are_not_busy() -> None:
    before = "cpu  100 0 50 1000 10 0 0 0 0 0\ncpu0 1 1 1 1\n"
    after = "cpu  120 0 60 1060 20 0 0 0 0 0\ncpu0 1 1 1 1\n"
    assert parse_busy_share(before, after) == pytest.approx(0.3)
    assert parse_busy_share(before, before) == 0


def test_pinning_comes_before_the_command() -> None:
    assert pinned(["a", "b"], "1")[:3] == ["taskset", "-c", "1"]
    assert pinned(["a", "b"], None)[-2:] == ["a", "b"]


def test_a_process_ends_with_its_workers_even_when_it_will_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.process.SHUTDOWN_S", 0.1)
    with running([sys.executable, "-c", STUBBORN], tmp_path / "log", pipes=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process_tree(process.pid) == [process.pid, child]
    assert process.returncode == -signal.SIGKILL
    assert not is_alive(child)


def test_an_error_in_the_block_ends_the_process_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), running(["sleep", "60"], tmp_path / "log") as process:
        raise ZeroDivisionError
    assert process.returncode == -signal.SIGTERM


def test_one_that_ends_at_start_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running([sys.executable, "-c", "raise SystemExit('no such option')"], log) as process:
        with pytest.raises(BenchmarkError, match="peer ended at start with code 1"):
            wait_until_listening(process, free_port(), "peer")
    assert tail(log) == "no such option"


def test_the_tail_of_a_silent_or_missing_log(tmp_path: Path) -> None:
    assert tail(tmp_path / "missing") == "(it printed nothing)"


def is_alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
