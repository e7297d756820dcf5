"""`mesh demo` as its users run it: what its JSON shows, and that no end of it leaves a process behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import ROOT, eventually

COMMAND = (sys.executable, "-c", "import sys; from mesh.cli import main; sys.exit(main())", "demo")
TOKEN = "GOSSAMER_DEMO_TEST"
STAGES = (
    "Starting 3 replicas",
    "Without the mesh",
    "Starting the control plane",
    "With the mesh",
)  # lines it prints as it goes
END_S = 60
FAILING_METHOD = "/emojivoto.v1.VotingService/VoteDoughnut"

Pods = dict[str, dict[str, Any]]


class Demo:
    """A running demo. All that it starts inherits its token, and is found by it."""

    def __init__(self, *options: str, **environment: str) -> None:
        token = uuid.uuid4().hex
        self._token = f"{TOKEN}={token}".encode()
        pipe = subprocess.PIPE
        self.popen = subprocess.Popen(
            [*COMMAND, *options],
            cwd=ROOT,
            env=os.environ | {TOKEN: token} | environment,
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def processes(self) -> list[str]:
        """The command lines of its processes, its own included."""
        found = (read_command(entry, self._token) for entry in Path("/proc").glob("[0-9]*"))
        return [command for command in found if command]

    def read_until(self, start: str) -> None:
        """Return when it has printed a line that begins so."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            if line.startswith(start):
                return
        pytest.fail(f"it ended before it said {start!r}: {self.finish()}")

    def finish(self) -> tuple[int, str, str]:
        stdout, stderr = self.popen.communicate(timeout=END_S)
        return self.popen.returncode, stdout, stderr


def read_command(entry: Path, token: bytes) -> str:
    """The command line of a process with the token; empty for another's, and for one that has ended."""
    try:
        if token not in (entry / "environ").read_bytes().split(b"\0"):
            return ""
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


@contextmanager
def running(*options: str, **environment: str) -> Iterator[Demo]:
    demo = Demo(*options, **environment)
    try:
        yield demo
        eventually(lambda: not demo.processes(), f"all processes of {options} to end")
    finally:
        demo.popen.kill()
        demo.popen.communicate()


def run(*options: str) -> dict[str, Any]:
    """The JSON of a demo that runs to its end."""
    with running("--json", *options) as demo:
        code, stdout, stderr = demo.finish()
    assert code == 0, stderr
    document: dict[str, Any] = json.loads(stdout)
    return document


def pods_of(document: dict[str, Any], mode: str, service: str) -> Pods:
    return {pod["pod"]: pod for pod in document["modes"][mode]["pods"] if pod["service"] == service}


@pytest.fixture(scope="module")
def story() -> dict[str, Any]:
    return run("--duration", "6")


@pytest.mark.parametrize("service", ["emoji", "voting"])
def test_without_the_mesh_one_pod_has_all_requests(story: dict[str, Any], service: str) -> None:
    pods = pods_of(story, "unmeshed", service)
    assert sorted(pod["share"] for pod in pods.values()) == [0, 0, 1]
    assert sum(pod["requests"] for pod in pods.values()) > 1000


def test_with_the_mesh_the_slow_pod_gets_less_than_a_third_of_a_fast_ones_share(story: dict[str, Any]) -> None:
    pods = pods_of(story, "meshed", "voting")
    slow = pods.pop(story["slow_pod"])
    assert 0 < slow["share"] < min(pod["share"] for pod in pods.values()) / 3


@pytest.mark.parametrize("service", ["emoji", "voting"])
def test_with_the_mesh_equal_pods_share_alike(story: dict[str, Any], service: str) -> None:
    """The 15 % that the demo promises hold for its default duration; a shorter run on a busy machine scatters more."""
    shares = [pod["share"] for name, pod in pods_of(story, "meshed", service).items() if name != story["slow_pod"]]
    assert max(shares) < 1.3 * min(shares)


def test_verdict_names_the_slow_pod_and_the_failing_method(story: dict[str, Any]) -> None:
    assert story["slow_pod"] == "voting-2"
    assert story["failing_method"] == FAILING_METHOD


@pytest.mark.parametrize("mode", ["unmeshed", "meshed"])
def test_only_the_intended_method_fails(story: dict[str, Any], mode: str) -> None:
    assert {failure["method"] for failure in story["modes"][mode]["failures"]} == {FAILING_METHOD}
    for pod in pods_of(story, mode, "emoji").values():
        assert pod["success_rate"] in (1, None)


def test_killed_pod_fails_no_request_beyond_those_in_flight_on_it() -> None:
    document = run("--duration", "3", "--kill-pod")
    kill = document["kill"]
    assert kill["failed_beyond"] == 0
    assert kill["failed_in_flight"] <= kill["in_flight"]
    pods = pods_of(document, "meshed", "emoji")
    killed = pods.pop(kill["pod"])
    assert 0 < killed["requests"] < min(pod["requests"] for pod in pods.values())
    assert document["failing_method"] == FAILING_METHOD


def test_plain_text_ends_with_a_summary() -> None:
    with running("--duration", "1") as demo:
        code, stdout, stderr = demo.finish()
    assert (code, stderr) == (0, "")
    assert "Slow pod: voting-2; " in stdout
    assert f"Failing method: {FAILING_METHOD}, with UNKNOWN on " in stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stage", STAGES)
def test_signal_ends_it_clean_at_any_stage(stage: str, number: signal.Signals, tmp_path: Path) -> None:
    with running("--duration", "1", TMPDIR=str(tmp_path)) as demo:
        demo.read_until(stage)
        demo.popen.send_signal(number)
        code, _stdout, stderr = demo.finish()
        assert demo.processes() == []
    assert list(tmp_path.iterdir()) == []
    assert (code, stderr) == (128 + number, "mesh demo: stopped\n")


def test_killed_demo_takes_its_processes_along(tmp_path: Path) -> None:
    with running("--duration", "30", TMPDIR=str(tmp_path)) as demo:
        demo.read_until("Without the mesh")
        assert len(demo.processes()) >= 7
        demo.popen.kill()


def test_reader_that_goes_away_ends_it() -> None:
    with running("--duration", "1") as demo:
        demo.read_until("Without the mesh")
        assert demo.popen.stdout is not None
        demo.popen.stdout.close()
        assert demo.popen.wait(END_S) == 1


def test_part_that_does_not_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "grpc.py").write_text("raise RuntimeError('a broken installation')\n")
    with running("--duration", "1", PYTHONPATH=str(tmp_path)) as demo:
        code, _stdout, stderr = demo.finish()
    assert code == 1
    assert stderr.startswith("mesh demo: emoji-1 did not start (exit code 1); its log ends with:\n")
    assert stderr.endswith("RuntimeError: a broken installation\n")


@pytest.mark.parametrize(
    "options", [("--duration", "0"), ("--duration", "nan"), ("--duration", "soon"), ("--rate", "1e9"), ("--speed", "3")]
)
def test_wrong_options_end_with_one_sentence(options: tuple[str, ...]) -> None:
    with running(*options) as demo:
        code, stdout, stderr = demo.finish()
    assert (code, stdout) == (2, "")
    assert stderr.count("\n") == 1
    assert options[0] in stderr
