"""The injector as it runs in a cluster: `mesh injector` in a process of its own, which the API server calls by a URL.

`with` ends it by SIGTERM and asserts what must hold after every run: exit code 0 and no fault of ours on stderr.
"""

from __future__ import annotations

import http.client
import re
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Self

from tests.e2e.processes import HOST, Process, eventually

PROGRAM = "import sys; from mesh.cli import main; sys.exit(main())"
STARTED = re.compile(r"serving reviews on \S+:(\d+), admin on \S+:(\d+)")
ESCAPED = ("Traceback (most recent call last)", "was never retrieved", "was never awaited", "bug:")
PATIENCE_S = 60


class Injector(Process):
    """A running injector on loopback; `port` is that of the webhook."""

    def __init__(self, kubeconfig: Path, namespace: str, *options: str, port: int = 0) -> None:
        where = ["--listen", f"{HOST}:{port}", "--admin", f"{HOST}:0", "--name", HOST]
        who = ["--kubeconfig", str(kubeconfig), "--namespace", namespace]
        drain = () if "--drain-delay" in options else ("--drain-delay", "0s")
        super().__init__([sys.executable, "-c", PROGRAM, "injector", *where, *who, *drain, *options])
        self.port = self.admin_port = 0

    def wait_listening(self) -> Self:
        eventually(lambda: not self.running() or STARTED.search(self.stderr) is not None, "its ports", PATIENCE_S)
        found = STARTED.search(self.stderr)
        assert found is not None, self.stderr
        self.port, self.admin_port = int(found[1]), int(found[2])
        return self

    def wait_ready(self) -> Self:
        eventually(lambda: self.ready() == "ready", f"readiness: {self.ready()}\n{self.stderr}", PATIENCE_S)
        return self

    def wait_log(self, text: str) -> None:
        eventually(lambda: text in self.stderr, f"{text!r} in the log:\n{self.stderr}", PATIENCE_S)

    def ready(self) -> str:
        return self.get("/ready")[1].strip()

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the admin port."""
        connection = http.client.HTTPConnection(HOST, self.admin_port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metric(self, line_start: str) -> float:
        """The sum of the samples whose line begins so."""
        lines = self.get("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))

    def handshake(self, authorities: str) -> str:
        """Connect as an API server with this caBundle does; the certificate, PEM. An SSLError if it is not trusted."""
        context = ssl.create_default_context(cadata=authorities)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # Go trusts what it is given, root or not
        with socket.create_connection((HOST, self.port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname=HOST) as secure:
                found = secure.getpeercert(binary_form=True)
        assert found is not None
        return ssl.DER_cert_to_PEM_cert(found)

    def stop(self) -> None:
        self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"exit code {code}; stderr:\n{self.stderr}"

    def __enter__(self) -> Self:
        try:
            return self.wait_listening()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        try:
            if self.running():
                self.stop()
            for sign in ESCAPED:
                assert sign not in self.stderr, self.stderr
        finally:
            self.close()
