"""Child processes of the end-to-end tests: started on free ports, watched, ended, their errors kept for the report.

Owns what the proxy and the gRPC backends have in common. Every process ends with its `with` block, by its own pid.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Self

import pytest

from tests.requirement import require

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


def free_port(count: int = 1) -> int:
    """A TCP port that nothing listens on now, for the one who must name it before it starts; `count` in a row.

    Below those that the kernel gives to outgoing connections, so that none of these takes it meanwhile.
    """
    while True:
        first = random.randrange(10_000, 32_000)
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind((HOST, port))
                return first
        except OSError:
            continue


def nghttp2(command: str) -> str:
    """The path of one of nghttp2's programs."""
    require(command, f"{command} (apt-get install nghttp2)")
    return shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin") or command


def eventually(check: Callable[[], bool], what: str, timeout_s: float = 20) -> None:
    """Wait until `check` holds; `timeout_s` is for hangs only, so it is generous."""
    deadline = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s:g} s in vain: {what}")
        time.sleep(0.01)


def accepts(address: str) -> bool:
    """Whether something listens there."""
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True


class Process:
    """One child process; what it writes to stderr goes to a file, so that it never blocks on a full pipe."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self._stderr: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            self.popen = subprocess.Popen(
                self.argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._stderr
            )
        except OSError:
            self._stderr.close()
            raise

    @property
    def stderr(self) -> str:
        """All that it has written to stderr so far."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), size, 0).decode(errors="replace")

    def read_line(self) -> str:
        """The next line of its stdout."""
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().decode().rstrip("\n")

    def running(self) -> bool:
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        self.popen.send_signal(number)

    def wait(self, timeout_s: float = 20) -> int:
        """Its exit code; a process that does not end is killed and fails the test."""
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"{self.argv} did not end within {timeout_s:g} s; stderr:\n{self.stderr}")

    def kill(self) -> None:
        """kill -9, and reap."""
        self.popen.kill()
        self.popen.wait()

    def anon_kib(self) -> int:
        """Anonymous resident memory (RssAnon), the figure that our memory goals are about."""
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        raise AssertionError("no RssAnon in /proc: is this Linux?")

    def close(self) -> None:
        if self.running():
            self.kill()
        assert self.popen.stdout is not None
        self.popen.stdout.close()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class GrpcBackend(Process):
    """`backend.py` as a process: a real grpcio server, under a name of its own, that can be stopped and killed."""

    def __init__(self, name: str, port: int = 0, **options: int) -> None:
        script = str(Path(__file__).with_name("backend.py"))
        given = [f"--{option}={value}" for option, value in options.items()]
        super().__init__([sys.executable, script, "--name", name, "--port", str(port), *given])
        self.name = name
        line = self.read_line()
        if not line.isdigit():
            self.kill()
            raise AssertionError(f"backend {name} did not start:\n{self.stderr}")
        self.port = int(line)
        self.address = f"{HOST}:{self.port}"


class Nghttpd(Process):
    """nghttp2's server: answers `/` of a directory with a body and trailers, fast."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.port = free_port()
        self.address = f"{HOST}:{self.port}"
        trailer = ["--trailer", "grpc-status: 0"]
        argv = [nghttp2("nghttpd"), "--no-tls", "-a", HOST, "-d", str(directory), *trailer, *options, str(self.port)]
        super().__init__(argv)
        eventually(lambda: accepts(self.address), f"nghttpd on {self.address}")
