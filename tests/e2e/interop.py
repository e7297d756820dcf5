"""gRPC's own interop programs in Go, which check a client and a server of another implementation than grpcio."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

from tests.e2e.processes import HOST, ROOT, Process, accepts, eventually, free_port
from tests.requirement import require


@functools.cache
def tools() -> Path:
    """Where the Go tools are; built on the first call."""
    done = subprocess.run([ROOT / "tests/tools/build.sh"], capture_output=True, check=False, text=True)
    require(done.returncode == 0, f"h2spec and gRPC's interop programs: {done.stderr.strip()}")
    return Path(done.stdout.strip())


class InteropServer(Process):
    """grpc-go's interop server with default settings."""

    def __init__(self) -> None:
        self.port = free_port()
        self.address = f"{HOST}:{self.port}"
        super().__init__([str(tools() / "server"), "--port", str(self.port)])
        eventually(lambda: accepts(self.address), f"the interop server on {self.address}")


def run_case(address: str, case: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one test case of the interop client against an address."""
    host, port = address.rsplit(":", 1)
    where = ["--server_host", host, "--server_port", port, "--test_case", case]
    argv = [str(tools() / "client"), *where, *options]
    return subprocess.run(argv, capture_output=True, text=True, timeout=50, check=False)
