"""A job says its own end, from its container: by `mesh proxy await`, or by any program that can POST over loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from mesh.contract import ADMIN_PORT, PROXY_UID
from tests.e2e import proxy_process
from tests.e2e.processes import HOST, Process
from tests.e2e.transparent.app import HTTP
from tests.e2e.transparent.ending import start_server
from tests.e2e.transparent.scene import MESH, run
from tests.netns.network import Network, Pod, require_namespaces

ADMIN = f"http://{HOST}:{ADMIN_PORT}"
JOB = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode()); sys.exit(3)"
END = f"import urllib.request; urllib.request.urlopen('{ADMIN}/shutdown', data=b'', timeout=20).read()"


@contextmanager
def sidecar(pod: Pod, workers: int) -> Iterator[Process]:
    """One whose pod would be given an hour to end."""
    options = ["--intercept", "--admin", f"{HOST}:{ADMIN_PORT}", "--workers", str(workers)]
    command = ["env", "GOSSAMER_SHUTDOWN_GRACE=1h", *proxy_process.command(), *options]
    with pod.start(command, PROXY_UID, PROXY_UID) as process:
        yield process
        assert process.wait() == 0, process.stderr
        for sign in (*proxy_process.ESCAPED, "bug:"):
            assert sign not in process.stderr


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    require_namespaces()
    with ExitStack() as stack:
        made = stack.enter_context(Network())
        start_server(stack, made.add_pod("other"), 0.0, "")
        made.add_pod("job").run([*MESH, "proxy", "init"], check=True)
        yield made


@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_and_its_sidecar_end(network: Network, workers: int) -> None:
    """It starts when the sidecar is ready, calls another pod through it, and its exit code is passed on."""
    other, job = network.pods
    command = [*MESH, "proxy", "await", "--shutdown", "--", sys.executable, "-c", JOB]
    with sidecar(job, workers):
        done = run(job, [*command, f"http://{other.addresses[4]}:{HTTP}/"])
        assert (done.returncode, done.stdout) == (3, "other\n"), done.stderr


def test_a_program_that_knows_no_mesh(network: Network) -> None:
    _, job = network.pods
    with sidecar(job, 2):
        assert run(job, [*MESH, "proxy", "await"]).returncode == 0
        done = run(job, [sys.executable, "-c", END])
        assert done.returncode == 0, done.stderr
