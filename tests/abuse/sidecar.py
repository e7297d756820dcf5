"""The sidecar of a pod: `mesh proxy --intercept` in the pod's network namespace, with the real rules before it."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Sequence

from mesh.contract import ADMIN_PORT, PROXY_UID
from tests.e2e.processes import HOST, Process, eventually
from tests.e2e.proxy_process import ESCAPED, STOP_S, command
from tests.netns.network import Pod


class Sidecar(Process):
    """It runs without a control plane: what is led to it goes where it was going."""

    def __init__(self, pod: Pod, options: Sequence[str] = ()) -> None:
        self.pod = pod
        self.address = pod.addresses[4]
        user = (f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups")
        may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
        place = ("--intercept", "--admin", f"{HOST}:{ADMIN_PORT}")
        begin = [*pod.enter(), "setpriv", "--pdeathsig=KILL", *user, *may_read]
        super().__init__([*begin, "env", "GOSSAMER_DRAIN_DELAY=1ms", *command(), *place, *options])

    def admin_request(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Status and body of one request to the admin port."""
        connection = http.client.HTTPConnection(HOST, ADMIN_PORT)
        connection.sock = self.pod.connect((HOST, ADMIN_PORT))
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def wait_ready(self) -> None:
        def is_ready() -> bool:
            assert self.running(), self.stderr
            try:
                return self.admin_request("/ready")[0] == 200
            except OSError:
                return False

        eventually(is_ready, "the sidecar to be ready", 60)

    def stop(self) -> None:
        """SIGTERM, and what must hold then, whatever the peers did."""
        self.signal(signal.SIGTERM)
        code = self.wait(STOP_S)
        for sign in (*ESCAPED, "bug:"):
            assert sign not in self.stderr, self.stderr
        assert code == 0, f"exit code {code}; stderr:\n{self.stderr}"
