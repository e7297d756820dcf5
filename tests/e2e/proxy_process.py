"""The command under test, as its users run it: `mesh proxy` in a process of its own, seen from outside only.

`Proxy` starts it on free ports and waits for /ready (/live, where no backend will answer). `with` ends it by SIGTERM
and asserts what must hold after every run: exit code 0 and no traceback on stderr. GOSSAMER_E2E_PROXY names another
command with the same options.
"""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.e2e.processes import HOST, Process, free_port

START_S = 20.0
# How long a proxy may take to end after SIGTERM once its clients have gone.
STOP_S = 20.0
# What Python and asyncio write when an exception got away.
ESCAPED = ("Traceback (most recent call last)", "was never retrieved", "was never awaited", "Fatal error on transport")
# The same from source, where there are compiled modules beside it.
PURE = "import sys, tests.forms as f; f.use_source(); from proxy.main import main; sys.exit(main(sys.argv[1:]))"


def command() -> list[str]:
    """The command line of `mesh proxy` without options."""
    named = os.environ.get("GOSSAMER_E2E_PROXY")
    if named:
        return shlex.split(named)
    if os.environ.get("GOSSAMER_PURE") == "1":
        return [sys.executable, "-c", PURE]
    mesh = Path(sys.executable).with_name("mesh")
    return [str(mesh), "proxy"] if mesh.exists() else [sys.executable, "-m", "proxy.main"]


def run_to_end(*options: str, timeout_s: float = 20) -> tuple[int, str, str]:
    """Run the proxy with options that make it end by itself: exit code, stdout, stderr."""
    with Process([*command(), *options]) as process:
        code = process.wait(timeout_s)
        assert process.popen.stdout is not None
        return code, process.popen.stdout.read().decode(), process.stderr


class Proxy(Process):
    """A running proxy; `address` is where clients connect, `admin` where it tells about itself."""

    def __init__(
        self,
        to: Sequence[str] = (),
        *,
        options: Sequence[str] = (),
        config: Path | None = None,
        port: int = 0,
        until: str = "/ready",
    ) -> None:
        self.until = until
        self.port, self.admin_port = port or free_port(), free_port(4)  # each worker has its own
        self.address, self.admin = f"{HOST}:{self.port}", f"{HOST}:{self.admin_port}"
        if config is None:
            where = ["--listen", self.address, "--admin", self.admin, *(["--to", ",".join(to)] if to else [])]
        else:
            self.admin, self.address = config_addresses(config)
            self.port, self.admin_port = (int(a.rsplit(":", 1)[1]) for a in (self.address, self.admin))
            where = ["--config", str(config)]
        super().__init__([*command(), *where, *options])

    def wait_started(self) -> Self:
        """Return once /ready, or what else was asked for, says 200."""
        deadline = time.monotonic() + START_S
        while self.admin_status(self.until) != 200:
            if not self.running() or time.monotonic() > deadline:
                self.popen.kill()
                raise AssertionError(f"{self.argv} did not get {self.until}, exit {self.popen.wait()}:\n{self.stderr}")
            time.sleep(0.01)
        return self

    def admin_request(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body of one request to the admin port."""
        connection = http.client.HTTPConnection(HOST, self.admin_port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def admin_status(self, path: str) -> int:
        """The status of an admin path, 0 where nothing listens yet."""
        try:
            return self.admin_request(path)[0]
        except OSError:
            return 0

    def check(self) -> None:
        """No exception may ever reach stderr, whatever the peers did."""
        for sign in ESCAPED:
            assert sign not in self.stderr, self.stderr

    def stop(self, timeout_s: float = STOP_S) -> None:
        """SIGTERM, and what must hold then."""
        self.signal(signal.SIGTERM)
        code = self.wait(timeout_s)
        self.check()
        assert code == 0, f"exit code {code}; stderr:\n{self.stderr}"

    def __enter__(self) -> Self:
        try:
            return self.wait_started()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        try:
            if self.running():
                self.stop()
            self.check()
        finally:
            self.close()


def write_config(
    path: Path, listen: str, admin: str, clusters: dict[str, Sequence[str]], routes: str = "", more: str = ""
) -> Path:
    """A proxy.yaml of clusters by name, each with `more` fields; without routes all goes to the first."""
    text = f"listen: {listen}\nadmin: {admin}\nclusters:\n"
    for name, endpoints in clusters.items():
        text += f"  - name: {name}\n    endpoints: [{', '.join(endpoints)}]\n{more}"
    path.write_text(f"{text}routes:\n" + (routes or f"  - cluster: {next(iter(clusters))}\n"))
    return path


def config_addresses(path: Path) -> tuple[str, str]:
    """The admin and listen addresses that a proxy.yaml names."""
    fields = dict(line.split(": ", 1) for line in path.read_text().splitlines() if line.startswith(("listen", "admin")))
    return fields["admin"], fields["listen"]
