"""The sidecar's raw TCP on a loop in a thread of its own, so that tests can be plain blocking sockets; and servers."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Self, TypeVar

import uvloop
from prometheus_client.parser import text_string_to_metric_families

from proxy.relay.opaque import Address
from proxy.route.hints import Expectation
from tests.e2e.opaque_sidecar import Sidecar
from tests.e2e.processes import HOST, ROOT, eventually
from tests.requirement import require

T = TypeVar("T")
TIMEOUT_S = 30.0


class OpaqueStage:
    """Listens, and relays to `endpoints`; `call` runs something on its loop."""

    def __init__(
        self,
        endpoints: list[Address],
        *,
        original: Address | None = None,
        expectation: Expectation | None = None,
        detect_timeout_s: float = 10.0,
        user_timeout_s: float = 20.0,
        has_uvloop: bool = True,
        host: str = HOST,
    ) -> None:
        self._loop: asyncio.AbstractEventLoop = uvloop.new_event_loop() if has_uvloop else asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

        async def start() -> Sidecar:
            sidecar = Sidecar(endpoints, original, expectation, detect_timeout_s, user_timeout_s)
            sidecar.listen(host, 0)
            self._sweep = asyncio.create_task(sidecar.sweep())
            return sidecar

        self.sidecar = self.wait(start())
        self.address = self.sidecar.address

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT_S)

    def call(self, function: Callable[[], T]) -> T:
        async def run() -> T:
            return function()

        return self.wait(run())

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, TIMEOUT_S)

    def metrics(self) -> dict[str, float]:
        """Every sample, as `name{label="value"}` with sorted labels; those without a direction."""
        found = {}
        for family in text_string_to_metric_families(self.call(self.sidecar.registry.render).decode()):
            for sample in family.samples:
                labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()) if k != "direction")
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
        return found

    def metric(self, name: str) -> float:
        return self.metrics().get(name, 0.0)

    def open_connections(self) -> int:
        return self.call(lambda: len(self.sidecar.relay.connections))

    def wait_idle(self) -> None:
        """All is over, and nothing of it is left: no socket, no pipe, no pending count."""
        eventually(lambda: self.open_connections() == 0, "the connections to end")
        relay = self.sidecar.relay
        assert not relay.opening
        assert relay.pipes.open == len(relay.pipes.spare)
        assert all(endpoint.pending == 0 for endpoint in self.sidecar.cluster.balancer.endpoints)
        assert self.metric("tcp_open_connections{peer=src}") == 0
        assert self.metric("tcp_open_connections{peer=dst}") == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        async def stop() -> None:
            self._sweep.cancel()
            await self.sidecar.stop()

        self.wait(stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Server:
    """Runs `serve(sock)` in a thread for each connection."""

    def __init__(self, serve: Callable[[socket.socket], object], host: str = HOST) -> None:
        self.serve = serve
        self.accepted = 0
        self.errors: list[BaseException] = []
        self._listening = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.address: Address = self._listening.getsockname()[:2]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.accepted += 1
            sock.settimeout(TIMEOUT_S)
            thread = threading.Thread(target=self._run, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _run(self, sock: socket.socket) -> None:
        with sock:
            try:
                self.serve(sock)
            except Exception as error:
                self.errors.append(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(TIMEOUT_S)


def echo(sock: socket.socket) -> None:
    while data := sock.recv(65_536):
        sock.sendall(data)


def read_to_end(sock: socket.socket) -> bytes:
    pieces = []
    while data := sock.recv(65_536):
        pieces.append(data)
    return b"".join(pieces)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, f"it ended after {len(data)} of {size} bytes"
        data += piece
    return data


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def unused_address() -> Address:
    with socket.create_server((HOST, 0)) as sock:
        address: Address = sock.getsockname()[:2]
        return address


def run_in_namespace(script: str, *arguments: str) -> list[str]:
    """Run a script of this folder in a network namespace of its own; the lines that it prints."""
    require("iptables", "iptables is missing: apt-get install iptables")
    require("unshare", "unshare is missing: apt-get install util-linux")
    require(os.geteuid() == 0, "a network namespace takes root")
    argv = ["unshare", "--net", sys.executable, str(Path(__file__).with_name(script)), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
