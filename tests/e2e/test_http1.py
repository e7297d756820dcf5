"""HTTP/1 end to end: real clients and servers that know nothing of the proxy between them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.processes import HOST, Process, accepts, eventually, free_port
from tests.requirement import require

SMALL = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Backend(Process):
    """`http1_backend.py` as a process, under a name of its own."""

    def __init__(self, name: str, port: int = 0) -> None:
        script = str(Path(__file__).with_name("http1_backend.py"))
        super().__init__([sys.executable, script, "--name", name, "--port", str(port)])
        line = self.read_line()
        if not line.isdigit():
            self.kill()
            raise AssertionError(f"backend {name} did not start:\n{self.stderr}")
        self.port = int(line)
        self.address = f"{HOST}:{self.port}"


class Http1Proxy(Process):
    """`http1_proxy.py` as a process before these addresses."""

    def __init__(self, *addresses: str, **options: float) -> None:
        given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        super().__init__([sys.executable, "-m", "tests.e2e.http1_proxy", "--to", ",".join(addresses), *given])
        line = self.read_line()
        if not line:
            self.kill()
            raise AssertionError(f"the proxy did not start:\n{self.stderr}")
        self.port = int(json.loads(line)["port"])
        self.address = f"{HOST}:{self.port}"

    def connect(self) -> socket.socket:
        return socket.create_connection((HOST, self.port), timeout=20)

    def open(self) -> HTTPConnection:
        return HTTPConnection(HOST, self.port, timeout=20)

    def close(self) -> None:
        stderr = self.stderr
        super().close()
        assert "bug:" not in stderr, stderr


@pytest.fixture(scope="module")
def backends() -> Iterator[list[Backend]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Backend(name)) for name in "abc"]


@pytest.fixture(scope="module")
def proxy(backends: list[Backend]) -> Iterator[Http1Proxy]:
    with Http1Proxy(*(backend.address for backend in backends)) as running:
        yield running


def read_all(sock: socket.socket) -> bytes:
    found = b""
    while piece := sock.recv(65_536):
        found += piece
    return found


def curl(*arguments: str) -> str:
    require("curl", "curl (apt-get install curl)")
    done = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def test_one_connection_reaches_all_backends(proxy: Http1Proxy) -> None:
    seen = set()
    with closing(proxy.open()) as client:
        for number in range(60):
            client.request("GET", f"/x?{number}")
            response = client.getresponse()
            name, method, path, _ = response.read().decode().split()
            assert (response.status, method, path) == (200, "GET", f"/x?{number}")
            seen.add(name)
    assert seen == set("abc")


@pytest.mark.parametrize("size", [0, 1, 100_000, 150_000])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/echo", "/echo?length"])
def test_bodies_come_back_whole(proxy: Http1Proxy, size: int, chunked: bool, path: str) -> None:
    body = os.urandom(size)
    with closing(proxy.open()) as client:
        for _ in range(2):
            pieces = (body[at : at + 70_000] for at in range(0, size, 70_000))
            client.request("POST", path, body=pieces if chunked else body)
            assert client.getresponse().read() == body


async def test_both_directions_at_once(proxy: Http1Proxy) -> None:
    """A body of 20 MiB is echoed while it is sent: neither side's buffers can hold it."""
    body = os.urandom(1 << 20)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield body

    async with aiohttp.ClientSession() as session:
        async with session.post(f"http://{proxy.address}/echo", data=pieces()) as response:
            digest = hashlib.sha256()
            async for piece in response.content.iter_any():
                digest.update(piece)
    assert digest.digest() == hashlib.sha256(body * 20).digest()


async def test_many_clients_at_once(proxy: Http1Proxy) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

        async def ask(number: int) -> str:
            async with session.post(f"http://{proxy.address}/{number}", data=b"x" * number) as response:
                assert response.status == 200
                return await response.text()

        answers = await asyncio.gather(*(ask(number) for number in range(1_000)))
    for number, answer in enumerate(answers):
        assert answer.split()[1:] == ["POST", f"/{number}", str(number)]
    assert {answer.split()[0] for answer in answers} == set("abc")


async def test_websocket(proxy: Http1Proxy) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://{proxy.address}/socket") as ws:
        for number in range(20):
            await ws.send_str(f"{number}")
            assert (await ws.receive_str())[2:] == f"{number}"
        await ws.send_bytes(b"y" * 1_000_000)
        assert await ws.receive_bytes() == b"y" * 1_000_000
        await ws.close()
        assert ws.close_code == 1000


def test_curl(proxy: Http1Proxy, tmp_path: Path) -> None:
    url = f"http://{proxy.address}"
    assert curl(f"{url}/a")[1:] == " GET /a 0"
    assert curl("--http1.0", f"{url}/a")[1:] == " GET /a 0"
    assert curl("-I", f"{url}/a").startswith("HTTP/1.1 200 OK")
    body = tmp_path / "body"
    body.write_bytes(os.urandom(3_000_000))
    for options in (["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"], ["--http1.0"]):
        assert curl(*options, "-T", str(body), f"{url}/put").endswith(" PUT /put 3000000")
    assert curl("-x", url, "http://shop.example/through")[1:] == " GET /through 0"
    with pytest.raises(subprocess.CalledProcessError):
        curl("-x", url, "-p", "http://shop.example/through")
    assert "HTTP/1.1 200" in curl("--http2", "-i", f"{url}/a"), "an offer of h2c is not taken up"


def test_pipelining(proxy: Http1Proxy) -> None:
    requests = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(200)]
    with proxy.connect() as sock:
        sock.sendall(b"".join(requests) + b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = read_all(sock).decode()
    assert re.findall(r"GET /(\w+)", answer) == [*map(str, range(200)), "end"]


def test_a_half_closed_client(proxy: Http1Proxy) -> None:
    with proxy.connect() as sock:
        sock.sendall(SMALL)
        sock.shutdown(socket.SHUT_WR)
        assert b" GET / 0" in read_all(sock)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ],
)
def test_what_is_refused_ends_the_connection(proxy: Http1Proxy, request_bytes: bytes, status: int) -> None:
    with proxy.connect() as sock:
        sock.sendall(request_bytes + SMALL)
        answer = read_all(sock)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"gossamer-error: ") == 1
    assert b" GET / 0" not in answer


def test_the_backend_s_close(proxy: Http1Proxy) -> None:
    with closing(proxy.open()) as client:
        for _ in range(20):
            client.request("POST", "/", body=b"x")
            assert client.getresponse().read().endswith(b" POST / 1")
            client.request("GET", "/close")
            assert client.getresponse().read() == b"bye"


def test_a_server_of_http_1_0() -> None:
    """Python's own: no length, no persistence; the body ends with the connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"z" * 300_000)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with Http1Proxy(f"{HOST}:{server.server_port}") as proxy, closing(proxy.open()) as client:
            for _ in range(10):
                client.request("GET", "/")
                response = client.getresponse()
                assert response.read() == b"z" * 300_000
                assert response.version == 11
                assert not response.will_close
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_slow_reader_costs_little_memory(proxy: Http1Proxy) -> None:
    before_kib = proxy.anon_kib()
    with ExitStack() as stack:
        socks = [stack.enter_context(proxy.connect()) for _ in range(8)]
        for sock in socks:
            sock.sendall(b"GET /stream?size=100000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            sock.recv(1_000)
        settled: list[int] = []

        def is_settled() -> bool:
            settled.append(proxy.anon_kib())
            time.sleep(0.1)
            return len(settled) > 10 and max(settled[-5:]) - min(settled[-5:]) < 64

        eventually(is_settled, "the proxy stops reading what nobody takes")
        assert settled[-1] - before_kib < 8 * 400
        with closing(proxy.open()) as client:
            client.request("GET", "/")
            assert client.getresponse().status == 200


def test_nginx_as_the_server(tmp_path: Path) -> None:
    require("nginx", "nginx (apt-get install nginx)")
    port = free_port()
    (tmp_path / "file").write_bytes(b"n" * 2_000_000)
    temporary = "".join(f"{kind}_temp_path {tmp_path}/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    config = tmp_path / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(
        f"{user} daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error error; events {{}} "
        f"http {{ access_log off; client_body_temp_path {tmp_path}/client; {temporary} keepalive_requests 5; "
        f"server {{ listen {HOST}:{port}; root {tmp_path}; }} }}"
    )
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
    with Process([nginx, "-p", str(tmp_path), "-c", str(config)]) as server:
        eventually(lambda: accepts(f"{HOST}:{port}"), "nginx")
        with Http1Proxy(f"{HOST}:{port}") as proxy, closing(proxy.open()) as client:
            for _ in range(30):  # every fifth answer ends its connection
                client.request("GET", "/file", headers={"Range": "bytes=10-19"})
                response = client.getresponse()
                assert (response.status, response.read()) == (206, b"n" * 10)
            client.request("GET", "/file")
            assert len(client.getresponse().read()) == 2_000_000
            client.request("GET", "/none")
            assert client.getresponse().status == 404
        server.signal(signal.SIGQUIT)
        server.wait()


def test_rolling_every_backend_loses_no_get() -> None:
    names = "abc"
    with ExitStack() as stack:
        running = {name: Backend(name) for name in names}
        for name in names:
            stack.callback(lambda name=name: running[name].close())
        proxy = stack.enter_context(Http1Proxy(*(running[name].address for name in names)))
        ended = threading.Event()
        results: list[tuple[int, str]] = []

        def call() -> None:
            with closing(proxy.open()) as client:
                while not ended.is_set():
                    client.request("GET", "/")
                    response = client.getresponse()
                    results.append((response.status, response.read().decode()))

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for name in names:
            port = running[name].port
            before = len(results)
            running[name].signal(signal.SIGTERM)
            running[name].wait()
            running[name].close()
            eventually(lambda before=before: len(results) > before + 200, "requests go on without it")  # type: ignore[misc]
            running[name] = Backend(f"{name}2", port)
            eventually(
                lambda name=name, before=before: any(text.startswith(f"{name}2 ") for _, text in results[before:]),  # type: ignore[misc]
                "it gets requests again",
            )
        ended.set()
        for thread in threads:
            thread.join()
        lost = [result for result in results if result[0] != 200]
        assert not lost, lost[:3]


def test_a_backend_that_comes_back_is_used_again() -> None:
    """What it cost to lose requests with the process that is gone is not held against the next one."""
    with ExitStack() as stack:
        running = [stack.enter_context(Backend(name)) for name in "ab"]
        proxy = stack.enter_context(Http1Proxy(*(backend.address for backend in running)))
        clients = [stack.enter_context(closing(proxy.open())) for _ in range(8)]
        for client in clients:
            client.request("GET", "/sleep?s=1")
        time.sleep(0.3)
        running[1].kill()
        assert [client.getresponse().read() for client in clients] == [b"awake"] * len(clients)
        stack.enter_context(Backend("b2", running[1].port))
        with closing(proxy.open()) as client:

            def answer() -> str:
                client.request("GET", "/")
                return client.getresponse().read().decode()

            eventually(lambda: answer().startswith("b2 "), "it gets requests again")


def test_drain(backends: list[Backend]) -> None:
    with Http1Proxy(backends[0].address) as proxy:
        with closing(proxy.open()) as busy, closing(proxy.open()) as idle:
            idle.request("GET", "/")
            idle.getresponse().read()
            busy.request("GET", "/sleep?s=1")
            time.sleep(0.2)
            proxy.signal(signal.SIGTERM)
            response = busy.getresponse()
            assert response.read() == b"awake"
            assert response.will_close
            assert idle.sock is not None
            assert idle.sock.recv(1) == b""
        assert proxy.wait() == 0


def test_what_is_counted(backends: list[Backend]) -> None:
    with Http1Proxy(*(backend.address for backend in backends)) as proxy:
        with closing(proxy.open()) as client:
            for _ in range(30):
                client.request("GET", "/", headers={"Host": "shop"})
                client.getresponse().read()
        with proxy.connect() as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
            read_all(sock)
        proxy.signal(signal.SIGTERM)
        proxy.wait()
        text = proxy.stderr
    totals = re.findall(r'^request_total\{[^}]*authority="shop"[^}]*\} (\d+)', text, re.MULTILINE)
    assert sum(map(int, totals)) == 30
    assert 'status_code="200"' in text
    assert re.search(r'gossamer_failures_total\{reason="bad-request"\} 1', text)
    assert re.search(r'gossamer_protocol_faults_total\{[^}]*reason="no host field"', text)
