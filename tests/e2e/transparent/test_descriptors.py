"""A sidecar that intercepts and runs out of file descriptors: who is served is served on, and then all is as before."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from mesh.contract import PROXY_UID
from tests.e2e import proxy_process
from tests.e2e.processes import HOST, Process, eventually
from tests.e2e.transparent.scene import MESH
from tests.netns.network import Network, require_namespaces
from tests.requirement import require

pytestmark = pytest.mark.timeout(90)

PORT, ADMIN_PORT = 8080, 4191
FAILURES = "gossamer_accept_failures_total{"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Site:
    """A pod with a sidecar, and another where an application answers HTTP/1 with `ok` and sends anything else back."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        network = self.stack.enter_context(Network())
        self.client, self.server = network.add_pod("client"), network.add_pod("server")
        self.target = self.server.addresses[4], PORT
        self.listening = self.stack.enter_context(self.server.listen(self.target))
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()
        self.client.run([*MESH, "proxy", "init"], check=True)

    def start(self, *wrapper: str) -> Process:
        command = [*wrapper, *proxy_process.command(), "--intercept", "--admin", f"{HOST}:{ADMIN_PORT}"]
        self.sidecar = self.stack.enter_context(self.client.start(command, PROXY_UID, PROXY_UID))
        eventually(lambda: "listening on" in self.sidecar.stderr, "the sidecar")
        return self.sidecar

    def connect(self, stack: ExitStack) -> socket.socket:
        return stack.enter_context(self.client.connect(self.target))

    def read_metric(self, start: str) -> float:
        connection = HTTPConnection(HOST, ADMIN_PORT)
        connection.sock = self.client.connect((HOST, ADMIN_PORT))
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(start))

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listening.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=serve, args=(sock,)))
            self.threads[-1].start()

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        stderr = self.sidecar.stderr
        self.stack.close()
        for thread in self.threads:
            thread.join(30)
        for sign in (*proxy_process.ESCAPED, "bug:"):
            assert sign not in stderr, stderr


def serve(sock: socket.socket) -> None:
    with sock:
        try:
            while data := sock.recv(4_096):
                sock.sendall(OK if data.startswith(b"GET ") else data)
        except OSError:
            return


def ask(sock: socket.socket) -> None:
    """A request on a connection that stays."""
    sock.sendall(b"GET / HTTP/1.1\r\nHost: server\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\nok"):
        data = sock.recv(4_096)
        assert data, answer
        answer += data
    assert answer.startswith(b"HTTP/1.1 200 "), answer


def talk(sock: socket.socket) -> None:
    sock.sendall(b"\0word")
    assert sock.recv(100) == b"\0word"


def limit_descriptors(process: Process, count: int) -> None:
    """Its own user may do that, and root may not everywhere."""
    user = ["setpriv", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups"]
    subprocess.run([*user, "prlimit", f"--pid={process.popen.pid}", f"--nofile={count}:{count}"], check=True)


@pytest.fixture
def site() -> Iterator[Site]:
    require_namespaces()
    require("prlimit", "prlimit is missing: apt-get install util-linux")
    made = Site()
    yield made
    made.close()


def test_no_descriptor_left(site: Site) -> None:
    sidecar = site.start()
    with ExitStack() as stack:
        raw, http = site.connect(stack), site.connect(stack)
        talk(raw)
        ask(http)
        used = len(os.listdir(f"/proc/{sidecar.popen.pid}/fd"))
        limit_descriptors(sidecar, used + 8)
        with ExitStack() as crowd:
            for _ in range(60):
                site.connect(crowd)
            eventually(lambda: "no more connections are accepted" in sidecar.stderr, "a line about it")
            for _ in range(100):
                talk(raw)
                ask(http)
                time.sleep(0.02)
        with site.connect(stack) as late:
            ask(late)
        talk(raw)
        ask(http)
        # It rests after each, so that it fails ten times a second at most.
        assert 1 <= site.read_metric(FAILURES) <= 100
    assert sidecar.stderr.count("no more connections are accepted") == 1
    assert sidecar.stderr.count("no file descriptor is left") <= 1


def test_more_clients_than_descriptors(site: Site) -> None:
    """Mute ones, idle ones of HTTP/1, idle raw ones: they share one room, and who is served stays."""
    sidecar = site.start("prlimit", "--nofile=200:200")
    with ExitStack() as stack:
        raw, http = site.connect(stack), site.connect(stack)
        for number in range(240):
            try:
                one = site.connect(stack)
                if number % 3 == 1:
                    ask(one)
                elif number % 3 == 2:
                    talk(one)
            except (AssertionError, ConnectionError):
                continue  # it was turned away
            talk(raw)
            ask(http)
        assert site.read_metric('gossamer_protocol_faults_total{side="downstream",reason="too many connections"}') > 100
        talk(raw)
        ask(http)
    assert "no more connections are accepted" not in sidecar.stderr
    assert "no file descriptor is left" not in sidecar.stderr
