"""The stage of a measurement: three backends that speak a protocol, and a peer before them, started and ended here."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.peers import nginx
from benchmarks.peers.peer import GRPC, HTTP1, Peer, Place
from benchmarks.plan import Cores
from benchmarks.process import free_port, process_tree, running, tail, wait_until_listening
from benchmarks.toolchain import Native
from benchmarks.traffic import Backend, serving

BACKENDS = 3
SETTLE_S = 0.7


@dataclass(frozen=True, slots=True)
class Scene:
    """Running backends, and the peer before them unless it is the direct path. `raw` are the backends of raw TCP,
    which are threads of ours."""

    backend_ports: Sequence[int]
    backend_pids: Sequence[int]
    raw: Sequence[Backend]
    port: int | None
    peer_pids: Sequence[int]

    @property
    def entry(self) -> Sequence[int]:
        return self.backend_ports if self.port is None else [self.port]

    @property
    def clocks(self) -> dict[str, Sequence[int]]:
        clocks = {"backends": self.backend_pids}
        return clocks if self.port is None else {"proxy": self.peer_pids, **clocks}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where scenes are set: programs, cores, and a folder for what is printed."""

    native: Native
    cores: Cores
    folder: Path

    @contextmanager
    def scene(self, peer: Peer | None, protocol: str = GRPC) -> Iterator[Scene]:
        with ExitStack() as stack:
            raw: list[Backend] = []
            pids: list[int] = []
            if protocol == GRPC:
                ports = [self._start_native(stack, number, pids) for number in range(1, BACKENDS + 1)]
            elif protocol == HTTP1:
                ports = [self._start_nginx(stack, number, pids) for number in range(1, BACKENDS + 1)]
            else:
                raw = [stack.enter_context(serving()) for _ in range(BACKENDS)]
                ports = [backend.port for backend in raw]
            port, peer_pids = (None, []) if peer is None else self._start(stack, peer, protocol, ports)
            yield Scene(ports, pids, raw, port, peer_pids)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _start_native(self, stack: ExitStack, number: int, pids: list[int]) -> int:
        argv = [str(self.native.backend), str(number)]
        log = self.log(f"backend-{number}")
        process = stack.enter_context(running(argv, log, cores=self.cores.load, pipes=True))
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise BenchmarkError(f"a backend ended at start: {tail(log)}")
        pids.append(process.pid)
        return int(json.loads(line)["port"])

    def _start_nginx(self, stack: ExitStack, number: int, pids: list[int]) -> int:
        place = Place(free_port(), 0, (), self._make_folder(stack), HTTP1)
        log = self.log(f"backend-{number}")
        process = stack.enter_context(running(nginx.backend_command(place), log, cores=self.cores.load))
        wait_until_listening(process, place.port, "a backend")
        pids += process_tree(process.pid)
        return place.port

    def _start(self, stack: ExitStack, peer: Peer, protocol: str, backends: Sequence[int]) -> tuple[int, list[int]]:
        place = Place(free_port(), free_port(), backends, self._make_folder(stack), protocol)
        process = stack.enter_context(running(peer.command(place), self.log(peer.name), cores=self.cores.proxy))
        wait_until_listening(process, place.port, peer.title)
        time.sleep(SETTLE_S)
        return place.port, process_tree(process.pid)

    def _make_folder(self, stack: ExitStack) -> Path:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
