"""What a machine does to sidecars that connections are led to: halted, a clock that jumps, a log on a full disk, a peer
that accepts and never answers. Under load through two of them, of which the second's log is on a full disk."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mesh.contract import ADMIN_PORT, PROXY_UID
from tests.e2e import proxy_process
from tests.e2e.processes import HOST, ROOT, eventually
from tests.e2e.transparent.ending import Found, Load, start_server
from tests.e2e.transparent.scene import MESH, Meshed
from tests.netns.network import Network, Pod, require_namespaces
from tests.requirement import require

RATE = 50  # of each kind, a second
BLACK_HOLE = 7777
HALT_S = 2.0
DAY_S = 86_400


class Pair:
    """A caller and a server, each with a sidecar that no control plane tells anything."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.stack = stack
        self.network = stack.enter_context(Network())
        self.clock = folder / "clock"
        self.clock.write_bytes(bytes(8))
        library = folder / "wall_clock.so"
        require("cc", "cc, a C compiler (apt-get install gcc libc6-dev)")
        source = ROOT / "tests" / "e2e" / "wall_clock.c"
        subprocess.run(["cc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source], check=True)
        jumps = ["env", f"LD_PRELOAD={library}", f"WALL_CLOCK={self.clock}", "GOSSAMER_DRAIN_TIMEOUT=1s"]
        self.client = self.add("caller", jumps)
        self.server = self.add("server", ["sh", "-c", 'exec "$@" 2>/dev/full', "sh", *jumps])
        self.server.application = start_server(stack, self.server.pod, 0.0, "")
        for one in (self.client, self.server):
            eventually(one.is_ready, f"the sidecar of {one.pod.name}")

    def add(self, name: str, wrapper: list[str]) -> Meshed:
        pod = self.network.add_pod(name)
        pod.run([*MESH, "proxy", "init"], check=True)
        options = ["--intercept", "--admin", f"{HOST}:{ADMIN_PORT}"]
        sidecar = pod.start([*wrapper, *proxy_process.command(), *options], PROXY_UID, PROXY_UID)
        return Meshed(pod, self.stack.enter_context(sidecar), None)

    def load(self) -> Load:
        return Load(self.client.pod, RATE, self.server_address)

    @property
    def server_address(self) -> str:
        return self.server.pod.addresses[4]

    def jump(self, days: int) -> None:
        with self.clock.open("r+b") as file:
            file.write((days * DAY_S).to_bytes(8, "little", signed=True))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    require_namespaces()
    with ExitStack() as stack:
        yield Pair(stack, tmp_path_factory.mktemp("pair"))


def check(found: Found) -> None:
    """Nothing was lost, and no connection either."""
    assert found.failures == {"get": [], "post": [], "grpc": []}
    assert all(set(answers) == {"server"} for answers in found.answers.values())
    assert [life["end"] for life in found.lives] == [""]


def test_a_halt(pair: Pair) -> None:
    """SIGSTOP, longer than a connection's first word is waited for: what came meanwhile is answered."""
    with pair.load() as load:
        time.sleep(1)
        for one in (pair.client, pair.server):
            one.sidecar.signal(signal.SIGSTOP)
            time.sleep(HALT_S)
            one.sidecar.signal(signal.SIGCONT)
            time.sleep(1)
        check(load.finish())


def test_a_clock_that_jumps(pair: Pair) -> None:
    """A month ahead, two months back, at both sidecars; each time long enough for all to be swept."""
    for one in (pair.client, pair.server):
        assert "wall_clock.so" in Path(f"/proc/{one.sidecar.popen.pid}/maps").read_text()
    with pair.load() as load:
        for days in (30, -30):
            pair.jump(days)
            time.sleep(1.5)
        check(load.finish())
    assert pair.server.sidecar.running()


def test_a_peer_that_never_answers(pair: Pair) -> None:
    """It holds up nobody else, and the sidecars' end no longer than their deadline."""
    pod: Pod = pair.client.pod
    request = b"GET / HTTP/1.1\r\nhost: hole\r\n\r\n"
    with ExitStack() as stack:
        stack.enter_context(pair.server.pod.listen(("0.0.0.0", BLACK_HOLE)))
        for word in (request, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", b"\x00raw"):
            for _ in range(20):
                stack.enter_context(pod.connect((pair.server_address, BLACK_HOLE))).sendall(word)
        with pair.load() as load:
            time.sleep(2)
            check(load.finish())
        for one in (pair.client, pair.server):
            one.sidecar.signal(signal.SIGTERM)
        for one in (pair.client, pair.server):
            assert one.sidecar.wait() == 0
    assert "the time is up" in pair.client.sidecar.stderr
    for sign in (*proxy_process.ESCAPED, "bug:"):
        assert sign not in pair.client.sidecar.stderr
