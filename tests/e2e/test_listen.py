"""What the port of `mesh proxy --listen` serves beside gRPC: HTTP/1 as it comes, and raw TCP where it is asked for."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.calls import ask, open_channel
from tests.e2e.controlplane_process import ControlPlane, write_backends
from tests.e2e.processes import HOST, GrpcBackend, eventually, free_port
from tests.e2e.proxy_process import Proxy, run_to_end
from tests.e2e.test_http1 import Backend

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Backend(name)) for name in "ab"]


def get(proxy: Proxy, path: str = "/", host: str = "a.example", body: bytes | None = None) -> tuple[int, str]:
    connection = HTTPConnection(HOST, proxy.port, timeout=20)
    try:
        connection.request("GET" if body is None else "POST", path, body=body, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_http_1_is_balanced_per_request(servers: list[Backend]) -> None:
    with Proxy([server.address for server in servers], options=["--protocol", "http"]) as proxy:
        connection = HTTPConnection(HOST, proxy.port, timeout=20)
        seen = set()

        def ask_again() -> bool:
            connection.request("GET", "/")
            seen.add(connection.getresponse().read()[:1])
            return len(seen) == 2

        eventually(ask_again, "one connection's requests reach both servers")
        connection.close()
        body = b"x" * 300_000
        assert get(proxy, "/echo", body=body) == (200, body.decode())
        assert "HTTP/2" not in proxy.stderr, "an endpoint of HTTP/1 was dialled as one of HTTP/2"
        _, text = proxy.admin_request("/metrics")
    # Counted once as a connection and once a byte, though two adapters had them.
    opened = next(
        line for line in text.splitlines() if line.startswith('tcp_open_total{direction="outbound",peer="src"')
    )
    assert opened.endswith(" 2")


@pytest.mark.parametrize("pieces", [[b"G", b"ET / HT", b"TP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]])
def test_a_request_line_in_pieces(servers: list[Backend], pieces: list[bytes]) -> None:
    with Proxy([servers[0].address]) as proxy, socket.create_connection((HOST, proxy.port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            sock.sendall(piece)
            sock.settimeout(0.05 if piece != pieces[-1] else 20)
            with pytest.raises(TimeoutError) if piece != pieces[-1] else ExitStack():
                answer = sock.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_both_protocols_on_one_port_and_the_drain(
    tmp_path: Path, backends: list[GrpcBackend], servers: list[Backend]
) -> None:
    """Routes by authority hold for both. On SIGTERM a client of HTTP/1 is answered, and told that it was the last."""
    config = f"""
listen: 127.0.0.1:%d
admin: 127.0.0.1:%d
clusters:
  - {{name: grpc, endpoints: ["{backends[0].address}"]}}
  - {{name: web, endpoints: ["{servers[0].address}"], protocol: http}}
routes:
  - {{match: {{authority: web.example}}, cluster: web}}
  - {{cluster: grpc}}
"""
    file = tmp_path / "proxy.yaml"
    file.write_text(config % (free_port(), free_port()))
    with Proxy(config=file) as proxy:
        async with open_channel(proxy.address) as channel:
            await ask(channel)
        assert get(proxy, host="web.example")[0] == 200
        connection = HTTPConnection(HOST, proxy.port, timeout=20)
        connection.request("GET", "/sleep?s=1", headers={"Host": "web.example"})
        eventually(lambda: 'dst_service="web"' in proxy.admin_request("/metrics")[1], "the request is under way")
        proxy.popen.send_signal(signal.SIGTERM)
        response = connection.getresponse()
        assert (response.status, response.getheader("connection")) == (200, "close")
        connection.close()
        assert proxy.wait(20) == 0


@contextmanager
def echoing(greeting: bytes) -> Iterator[str]:
    """A server that speaks first, and says everything back; its address."""
    listening = socket.create_server((HOST, 0))

    def serve(sock: socket.socket) -> None:
        with sock:
            sock.sendall(greeting)
            while data := sock.recv(65_536):
                sock.sendall(data)

    def accept() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"{HOST}:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def test_raw_tcp_is_balanced_per_connection() -> None:
    """The server's greeting comes at once: nothing is detected. What looks like HTTP is passed on as it is."""
    said = b"GET / HTTP/1.1\r\nno header\r\n"
    with echoing(b"one") as one, echoing(b"two") as two, Proxy([one, two], options=["--protocol", "tcp"]) as proxy:
        seen = set()

        def connect() -> bool:
            with socket.create_connection((HOST, proxy.port), timeout=20) as sock:
                seen.add(sock.recv(3))
                sock.sendall(said)
                sock.shutdown(socket.SHUT_WR)
                heard = b""
                while piece := sock.recv(65_536):
                    heard += piece
            assert heard == said
            return seen == {b"one", b"two"}

        eventually(connect, "connections reach both servers")
        assert 'direction="outbound",peer="dst"' in proxy.admin_request("/metrics")[1]


def test_http_1_to_what_the_control_plane_knows(tmp_path: Path, servers: list[Backend]) -> None:
    write_backends(tmp_path, "web", [server.address for server in servers])
    with ControlPlane(tmp_path) as plane:
        options = ["--control-plane", plane.address, "--namespace", "demo"]
        with Proxy(options=options) as proxy:
            assert get(proxy, host="web:8080")[0] == 200
            status, text = get(proxy, host="nobody:8080")
            assert status == 404, text


def test_wrong_usage(tmp_path: Path) -> None:
    code, _, said = run_to_end("--listen", "127.0.0.1:0", "--control-plane", "127.0.0.1:1", "--protocol", "tcp")
    assert (code, "--protocol says what the endpoints of --to speak" in said) == (2, True)
    file = tmp_path / "proxy.yaml"
    file.write_text("listen: 127.0.0.1:0\nclusters:\n  - {name: a, endpoints: ['127.0.0.1:1'], protocol: tcp}\n")
    code, _, said = run_to_end("--config", str(file))
    assert (code, f"{file}:3" in said, "mesh proxy --protocol tcp" in said) == (2, True, True)
