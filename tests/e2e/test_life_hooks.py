"""`mesh proxy await` and `mesh proxy drain`, as entry points and hooks run them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.e2e.life import mesh, read_all
from tests.e2e.processes import HOST, GrpcBackend, eventually, free_port
from tests.e2e.proxy_process import Proxy, write_config

pytestmark = pytest.mark.timeout(60)


def wait_for(proxy: Proxy, *options: str) -> list[str]:
    return ["proxy", "await", "--admin", proxy.admin, *options]


def test_a_command_starts_once_the_sidecar_is_ready(backends: list[GrpcBackend], tmp_path: Path) -> None:
    admin = f"{HOST}:{free_port()}"
    config = write_config(tmp_path / "proxy.yaml", f"{HOST}:{free_port()}", admin, {"a": [backends[0].address]})
    with mesh("proxy", "await", "--admin", admin, "--", "echo", "up") as command, Proxy(config=config):
        assert command.wait() == 0
        assert read_all(command) == "up\n"


def test_it_becomes_the_command(proxy: Proxy) -> None:
    with mesh(*wait_for(proxy, "--", "sh", "-c", "echo $$; exit 3")) as command:
        assert command.wait() == 3
        assert read_all(command) == f"{command.popen.pid}\n"


def test_a_hook_only_waits(proxy: Proxy) -> None:
    with mesh(*wait_for(proxy)) as hook:
        assert hook.wait() == 0


def test_a_sidecar_that_does_not_come() -> None:
    with mesh("proxy", "await", "--admin", f"{HOST}:{free_port()}", "--timeout", "300ms", "--", "echo", "no") as hook:
        assert hook.wait() == 1
        assert read_all(hook) == ""
        assert hook.stderr.startswith("mesh proxy await: gave up waiting for the sidecar at 127.0.0.1:")
        assert hook.stderr.endswith(": connection refused\n")


def test_without_a_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same image, where there is no sidecar."""
    monkeypatch.setenv("GOSSAMER_AWAIT_DISABLED", "no mesh on this machine")
    with mesh("proxy", "await", "--shutdown", "--", "echo", "runs") as command:
        assert command.wait() == 0
        assert read_all(command) == "runs\n"


@pytest.mark.parametrize(("command", "code"), [("/nonesuch", 127), ("/etc/hostname", 126)])
def test_a_command_that_cannot_run(command: str, code: int, proxy: Proxy) -> None:
    with mesh(*wait_for(proxy, "--", command)) as hook:
        assert hook.wait() == code
        assert hook.stderr.startswith(f"mesh proxy await: cannot run {command}: ")


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_a_job_ends_the_sidecar(script: str, code: int, backends: list[GrpcBackend]) -> None:
    with Proxy([backends[0].address]) as proxy:
        with mesh(*wait_for(proxy, "--shutdown", "--", "sh", "-c", script)) as job:
            assert job.wait() == code
        assert proxy.wait() == 0


SIGNALLED = """
import signal, sys, time
seen = []
def say(number, _):
    seen.append(number)
    print(signal.Signals(number).name, flush=True)
for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP): signal.signal(number, say)
print("up", flush=True)
while len(seen) < 3: time.sleep(0.01)
sys.exit(5)
"""


def test_a_job_gets_its_signals(backends: list[GrpcBackend]) -> None:
    with Proxy([backends[0].address]) as proxy:
        with mesh(*wait_for(proxy, "--shutdown", "--", sys.executable, "-c", SIGNALLED)) as job:
            assert job.read_line() == "up"
            for name in ("SIGUSR1", "SIGHUP", "SIGTERM"):
                job.signal(signal.Signals[name])
                assert job.read_line() == name
            assert job.wait() == 5
        assert proxy.wait() == 0


def test_orphans_of_a_job_are_no_end(backends: list[GrpcBackend]) -> None:
    """What the job has left behind may end before it."""
    script = "(sleep 0.1 &) ; sh -c 'exit 1'; sleep 0.5; exit 4"
    with Proxy([backends[0].address]) as proxy:
        with mesh(*wait_for(proxy, "--shutdown", "--", "sh", "-c", script)) as job:
            assert job.wait() == 4
        assert proxy.wait() == 0


def test_a_job_whose_sidecar_has_gone(backends: list[GrpcBackend]) -> None:
    """What the job has done counts."""
    with Proxy([backends[0].address]) as proxy:
        script = f"kill -KILL {proxy.popen.pid}; exit 0"
        with mesh(*wait_for(proxy, "--shutdown", "--", "sh", "-c", script)) as job:
            assert job.wait() == 0
            assert "was not ended" in job.stderr
        assert proxy.wait() == -signal.SIGKILL


def test_sigterm_while_it_waits() -> None:
    with mesh("proxy", "await", "--admin", f"{HOST}:{free_port()}") as hook:
        eventually(lambda: has_handler(hook.popen.pid, signal.SIGTERM), "it to listen to SIGTERM")
        hook.signal(signal.SIGTERM)
        assert hook.wait() == 128 + signal.SIGTERM


def has_handler(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_a_drain_of_nobody() -> None:
    with mesh("proxy", "drain", "--admin", f"{HOST}:{free_port()}") as hook:
        assert hook.wait() == 1
        assert hook.stderr.endswith("was not drained: connection refused\n")
