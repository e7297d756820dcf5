"""One process of the cluster, which a test may end, kill, freeze and start again as it was.

It ends with the test run, however that ends: the kernel kills it when the thread that started it is gone, which is why
one thread that lives as long as this process starts them all. What is left even so is found by its mark (workspace.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.cluster.workspace import Workspace

STARTER = ThreadPoolExecutor(1, "cluster")
GRACE_S = 15.0


class Part:
    """A program with its arguments, which writes NAME.log in the workspace. In a kept one it outlives this process."""

    def __init__(
        self, name: str, command: Sequence[str], workspace: Workspace, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name, self.log = name, workspace.folder / f"{name}.log"
        self._environment = {**os.environ, **(environment or {}), **workspace.mark}
        self.command = [*([] if workspace.is_kept else ["setpriv", "--pdeathsig", "KILL"]), *command]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; nothing is waited for."""
        assert not self.is_running, f"{self.name} runs already"
        self._process = STARTER.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C at the terminal ends the test run, which then ends its parts in their order.
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it in order: SIGTERM, and after a while SIGKILL. No harm if it has ended."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9: no goodbye."""
        assert self._process is not None, f"{self.name} was not started"
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """As `kill`, for what may not run."""
        if self.is_running:
            self.kill()

    def freeze(self) -> None:
        """SIGSTOP: it holds its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def check(self) -> None:
        """Raise with the end of the log if it has ended by itself."""
        if not self.is_running:
            raise RuntimeError(f"{self.name} has ended:\n{self.read_log()}")

    def read_log(self, lines: int = 30) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
