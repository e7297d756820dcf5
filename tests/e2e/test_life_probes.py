"""The application's probes, asked for at a real sidecar's admin port, performed on real servers of each kind."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.cluster.authority import Authority
from tests.e2e.calls import eventually
from tests.e2e.processes import HOST, free_port
from tests.e2e.proxy_process import Proxy, run_to_end

pytestmark = pytest.mark.timeout(60)


class Handler(BaseHTTPRequestHandler):
    """/healthz is well unless the server is sick, /slow waits for `go`; remembers what it was asked."""

    protocol_version = "HTTP/1.1"
    server: Web

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["user-agent"]))
        if self.path == "/slow":
            self.server.go.wait(30)
        self.send_response(503 if self.server.sick else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class Web(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__((HOST, 0), Handler)
        self.sick, self.go, self.asked = False, threading.Event(), list[tuple[str, str]]()
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)


@contextmanager
def serving(web: Web) -> Iterator[Web]:
    thread = threading.Thread(target=web.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield web
    finally:
        web.go.set()
        web.shutdown()
        thread.join()
        web.server_close()


@contextmanager
def sidecar(probes: dict[str, object], kind: str = "readiness") -> Iterator[Proxy]:
    """One whose pod has a container for each of these probes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GOSSAMER_POD_IP", HOST)
        patch.setenv("GOSSAMER_PROBES", json.dumps({name: {kind: probe} for name, probe in probes.items()}))
        with Proxy([f"{HOST}:{free_port()}"], until="/live") as proxy:
            yield proxy


def ask(proxy: Proxy, container: str, agent: str = "kube-probe/1.30", kind: str = "readiness") -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, proxy.admin_port, timeout=20)
    try:
        connection.request("GET", f"/app-health/{container}/{kind}", headers={"User-Agent": agent})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_http_and_tcp() -> None:
    with serving(Web()) as web, socket.create_server((HOST, 0)) as listener:
        dead, port = free_port(), listener.getsockname()[1]
        probes = {
            "web": {"httpGet": {"port": web.server_port, "path": "/healthz"}},
            "db": {"tcpSocket": {"port": port}},
            "dead": {"tcpSocket": {"port": dead}},
        }
        with sidecar(probes) as proxy:
            url = f"GET http://{HOST}:{web.server_port}/healthz"
            assert ask(proxy, "web") == (200, f"{url}: status 200\n")
            assert ask(proxy, "db") == (200, f"TCP {HOST}:{port}: connected\n")
            assert ask(proxy, "dead") == (500, f"TCP {HOST}:{dead}: connection refused\n")
            assert ask(proxy, "web", kind="liveness")[0] == 404
            assert "GET /app-health/db/readiness\n" in proxy.admin_request("/")[1]
            web.sick = True
            assert ask(proxy, "web", agent="curl/8") == (500, f"{url}: status 503\n")
            assert ask(proxy, "web")[0] == 500
            web.sick = False
            assert ask(proxy, "web")[0] == 200
            agents = [agent for _, agent in web.asked]
            assert agents == ["kube-probe/1.30", "kube-probe/gossamer", "kube-probe/1.30", "kube-probe/1.30"]
            said = [line.split("Z ", 1)[1] for line in proxy.stderr.splitlines() if "app-health/web" in line]
            assert said == [
                f"app-health/web/readiness is unhealthy: {url}: status 503",
                f"app-health/web/readiness is healthy: {url}: status 200",
            ]


def test_https_whoever_it_is(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "")
    authority.issue("server", "somebody-else", hosts=["elsewhere.example"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with serving(Web(context)) as web, serving(Web()) as plain:
        probes = {
            "web": {"httpGet": {"port": web.server_port, "scheme": "HTTPS"}},
            "plain": {"httpGet": {"port": plain.server_port, "scheme": "HTTPS"}, "timeoutSeconds": 2},
        }
        with sidecar(probes) as proxy:
            assert ask(proxy, "web")[0] == 200
            assert ask(proxy, "plain")[0] == 500


def test_grpc() -> None:
    server = grpc.server(pool := ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"{HOST}:0")
    server.start()
    serving_, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    servicer.set("voting.v1", serving_)
    bare = grpc.server(pool)
    bare_port = bare.add_insecure_port(f"{HOST}:0")
    bare.start()
    probes = {
        "all": {"grpc": {"port": port}},
        "one": {"grpc": {"port": port, "service": "voting.v1"}},
        "none": {"grpc": {"port": port, "service": "x" * 200}},
        "bare": {"grpc": {"port": bare_port}},
    }
    try:
        with sidecar(probes) as proxy:
            assert ask(proxy, "all") == (200, f"gRPC health at {HOST}:{port}: SERVING\n")
            assert ask(proxy, "one") == (200, f"gRPC health of voting.v1 at {HOST}:{port}: SERVING\n")
            status, text = ask(proxy, "none")
            assert (status, "gRPC status 5" in text) == (500, True)
            status, text = ask(proxy, "bare")
            assert (status, "does not implement grpc.health.v1.Health" in text) == (500, True)
            servicer.set("voting.v1", not_serving)
            assert ask(proxy, "one") == (500, f"gRPC health of voting.v1 at {HOST}:{port}: NOT_SERVING\n")
    finally:
        server.stop(0).wait()
        bare.stop(0).wait()
        pool.shutdown()


async def test_however_many_ask_the_application_is_asked_once() -> None:
    with serving(Web()) as web, sidecar({"web": {"httpGet": {"port": web.server_port, "path": "/slow"}}}) as proxy:
        asking = [asyncio.ensure_future(asyncio.to_thread(ask, proxy, "web")) for _ in range(20)]
        await eventually(lambda: bool(web.asked), "the application to be asked")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.shield(asking[0])
        assert proxy.admin_status("/live") == 200
        web.go.set()
        assert {(await task)[0] for task in asking} == {200}
        assert len(web.asked) < 20


def test_an_application_that_hangs() -> None:
    """Accepts, and never answers: after `timeoutSeconds` that is a failure, and the sidecar ends as ever."""
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        with sidecar({"web": {"httpGet": {"port": port}}, "rpc": {"grpc": {"port": port}}}, "liveness") as proxy:
            for container in ("web", "rpc"):
                status, text = ask(proxy, container, kind="liveness")
                assert (status, text.endswith(": no answer within 1 s\n")) == (500, True)


def test_wrong_probes_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_PROBES", '{"web": {"liveness": {"exec": {}}}}')
    monkeypatch.setenv("GOSSAMER_POD_IP", HOST)
    code, _, said = run_to_end("--listen", f"{HOST}:0", "--to", f"{HOST}:1")
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("mesh proxy: GOSSAMER_PROBES: web.liveness: it has not exactly one of httpGet")
