"""The scene of attacks through interception: a meshed pod with real servers, and a pod outside of the mesh.

Attackers and honest clients are outside and come by way of the pod's rules; a malicious endpoint is a server in the
pod. Both kinds of attack meet one sidecar, which must survive them all. WEB is the honest clients' server of HTTP/1.
"""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.abuse.evil import Deed, Evil
from tests.abuse.scene import Honest, Scene
from tests.abuse.sidecar import Sidecar
from tests.e2e.transparent import app
from tests.e2e.transparent.scene import MESH, write_certificate
from tests.netns.network import Network

WEB = 8081
# A client that waits so long waits for ever.
PATIENCE_S = 30.0


class Pods(Scene):
    """`server` is meshed, `outside` is not."""

    def __init__(self, folder: Path) -> None:
        self.stack = ExitStack()
        try:
            self.network = self.stack.enter_context(Network())
            self.server, self.outside = self.network.add_pod("server"), self.network.add_pod("outside")
            self.host = self.server.addresses[4]
            self._start_applications(folder)
            self.server.run([*MESH, "proxy", "init"], check=True)
            self.sidecar = self.stack.enter_context(Sidecar(self.server))
            self.sidecar.wait_ready()
            honest = self.stack.enter_context(Honest(self.outside.enter()))
            ports = (app.GRPC, WEB, app.ECHO)
            super().__init__(self.sidecar, honest, " ".join(["targets", *(f"{self.host}:{port}" for port in ports)]))
        except BaseException:
            self.stack.close()
            raise

    def _start_applications(self, folder: Path) -> None:
        files = [str(path) for path in write_certificate(folder)]
        for module, *given in (("e2e.transparent.app", "server", *files), ("abuse.quick_web", str(WEB))):
            application = self.stack.enter_context(self.server.start([sys.executable, "-m", f"tests.{module}", *given]))
            assert application.read_line() == "serving", application.stderr

    def connect(self, port: int = app.HTTP, from_port: int = 0) -> socket.socket:
        """From outside to the meshed pod.

        A flood names its own ports, below those that the kernel gives to others: all that is led to the sidecar has one
        destination then, and where NAT finds two connections from one port it may reset the later one.
        """
        made = self.outside.open_socket(4)
        made.bind(("", from_port))
        made.connect((self.host, port))
        made.settimeout(PATIENCE_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def endpoint(self, port: int, deed: Deed) -> Evil:
        """A malicious server in the pod; what is done to each connection is the deed's alone."""
        return Evil(deed, self.server.listen((self.host, port)))

    def silent_endpoint(self, port: int) -> socket.socket:
        """A server that nobody runs: the kernel completes its connections, and keeps what they say."""
        listener = self.server.listen((self.host, port))
        listener.listen(4_096)
        return listener

    def ask(self, said: bytes, port: int = app.HTTP) -> bytes:
        """All that comes back on a connection of its own, to its end."""
        with self.connect(port) as sock:
            return converse(sock, said)

    def close(self) -> None:
        try:
            self.honest.ask("leave")
            self.sidecar.stop()
        finally:
            self.stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def converse(sock: socket.socket, said: bytes) -> bytes:
    """Say it, as far as it is listened to, and hear all until the other side ends."""
    try:
        sock.sendall(said)
    except OSError:
        pass  # it has been told off already
    return hear_all(sock)


def hear_all(sock: socket.socket) -> bytes:
    heard = b""
    try:
        while data := sock.recv(1 << 16):
            heard += data
    except ConnectionResetError:
        heard += b"<reset>"
    return heard
