from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mesh.demo.process import Child, Children, DemoError, describe_exit, log_tail

SLEEP = ["-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = ["-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"]
FAILS = ["-c", "import sys; print('out of luck', file=sys.stderr); sys.exit(3)"]


@pytest_asyncio.fixture
async def children(tmp_path: Path) -> AsyncIterator[Children]:
    made = Children(tmp_path)
    yield made
    made.stop_all()
    await asyncio.sleep(0)  # a transport closes its pipe in the loop's next round


async def first_line(child: Child) -> bytes:
    return await (await child.lines()).readline()


async def test_stop_all_ends_and_reaps_polite_and_stubborn(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.demo.process.STOP_TIMEOUT_S", 0.2)
    polite = children.start("polite", SLEEP, reports=True)
    stubborn = children.start("stubborn", STUBBORN, reports=True)
    assert await asyncio.gather(first_line(polite), first_line(stubborn)) == [b"up\n", b"up\n"]
    children.stop_all()
    assert polite.process.returncode == -signal.SIGTERM
    assert stubborn.process.returncode == -signal.SIGKILL


async def test_process_is_in_a_group_of_its_own_and_reads_nothing(children: Children) -> None:
    child = children.start("pod", ["-c", "import os; print(os.getpgid(0), os.read(0, 1))"], reports=True)
    assert await first_line(child) == f"{child.process.pid} b''\n".encode()
    assert child.process.pid != os.getpgid(0)


async def test_ended_process_is_a_failure_with_the_end_of_its_log(children: Children) -> None:
    failing = children.start("voting-1", FAILS, reports=False)
    other = children.start("front", SLEEP, reports=False)
    await failing.wait()
    with pytest.raises(
        DemoError, match=r"^voting-1 ended unexpectedly \(exit code 3\); its log ends with:\nout of luck$"
    ):
        children.check(besides=other)
    assert str(failing.start_failure()).startswith("voting-1 did not start (exit code 3); ")
    children.release(failing)
    children.check(besides=other)


async def test_killed_process_is_gone_when_kill_returns(children: Children) -> None:
    child = children.start("pod", SLEEP, reports=True)
    await first_line(child)
    child.kill()
    assert child.process.returncode == -signal.SIGKILL
    child.kill()  # and a second one finds nobody


def test_exit_is_described_by_code_or_signal() -> None:
    assert describe_exit(2) == "exit code 2"
    assert describe_exit(-9) == "signal SIGKILL"


def test_log_tail_is_the_last_lines_whatever_their_bytes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\n".join(b"line %d" % number for number in range(20)) + b"\xff")
    assert log_tail(log).splitlines()[0] == "line 12"
    assert log_tail(log).endswith("line 19\N{REPLACEMENT CHARACTER}")
