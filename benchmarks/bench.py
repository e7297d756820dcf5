"""The run: starts backends and peers, measures them in rotating order, and ends them all.

Invariant: no figure is kept of a window in which any answer was wrong, or in which a peer left a backend out.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, Sample, Shape
from benchmarks.peers.peer import Peer, Place
from benchmarks.plan import DIRECT, IDLE_CONNECTIONS, OPEN_RATE, Plan, choose_cores, rotated
from benchmarks.process import busy_share, free_port, process_tree, rss_anon_kib, running, tail, wait_until_listening
from benchmarks.toolchain import Native

BACKENDS = 3
MIN_SHARE = 0.1
MAX_OTHER_WORK = 0.05
SETTLE_S = 0.7


@dataclass(slots=True)
class Findings:
    """Everything that was measured, by peer; `closed` by (shape, headers)."""

    closed: dict[str, dict[tuple[str, str], list[Sample]]] = field(default_factory=dict)
    opened: dict[str, list[tuple[Sample, Sample]]] = field(default_factory=dict)  # (through the peer, direct)
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    busy_before: list[float] = field(default_factory=list)  # the machine's other work, before each round


@dataclass(frozen=True, slots=True)
class Scene:
    """Running backends, and the peer before them unless it is the direct path."""

    backend_ports: Sequence[int]
    backend_pids: Sequence[int]
    port: int | None
    peer_pids: Sequence[int]

    @property
    def entry(self) -> Sequence[int]:
        return self.backend_ports if self.port is None else [self.port]

    @property
    def clocks(self) -> dict[str, Sequence[int]]:
        clocks = {"backends": self.backend_pids}
        return clocks if self.port is None else {"proxy": self.peer_pids, **clocks}


class Bench:
    """One run of a plan."""

    def __init__(self, plan: Plan, native: Native, folder: Path) -> None:
        self.plan = plan
        self.native = native
        self.folder = folder
        self.cores = choose_cores(plan.is_pinned)
        self.load = Load(native.loadgen, self.cores.load, folder, plan.warmup_s)
        self.findings = Findings()

    def run(self) -> Findings:
        peers: dict[str, Peer | None] = {peer.name: peer for peer in self.plan.peers}
        peers[DIRECT] = None
        for number in range(self.plan.rounds):
            self._note_other_work()
            for name in rotated(self.plan.names, number):
                say(f"round {number + 1}/{self.plan.rounds}: {name}")
                try:
                    self._measure(name, peers[name], number)
                except BenchmarkError as error:
                    raise BenchmarkError(f"{name}: {error}\nIt last printed: {tail(self._log(name))}") from error
        return self.findings

    def _note_other_work(self) -> None:
        busy = busy_share()
        self.findings.busy_before.append(busy)
        if busy > MAX_OTHER_WORK:
            say(f"other work uses {busy:.0%} of this machine: latencies and requests/s will suffer")

    def _measure(self, name: str, peer: Peer | None, number: int) -> None:
        if peer and self.plan.has_memory and number == 0:
            self.findings.memory[name] = self._measure_memory(peer)
        if not (self.plan.shapes or self.plan.has_open_loop):
            return
        with self._scene(peer) as scene:
            for shape in self.plan.shapes:
                for headers in self.plan.headers:
                    self._measure_closed(name, scene, shape, headers)
            if name in self.findings.memory and number == 0 and self.plan.shapes:
                self.findings.memory[name]["loaded_kib"] = rss_anon_kib(process_tree(scene.peer_pids[0]))
            if peer and self.plan.has_open_loop:
                self._measure_open(name, scene)

    def _measure_closed(self, name: str, scene: Scene, shape: Shape, headers: str) -> None:
        sample = self.load.closed(scene.entry, scene.clocks, shape, headers, self.plan.duration_s)
        if scene.port is not None:
            check_spread(sample, shape)
        cost = f"{sample.cpu_per_request_us('proxy'):6.1f} us proxy, " if scene.port is not None else ""
        say(f"  {shape} {headers}: {cost}{sample.cpu_per_request_us('backends'):.1f} us backends, {sample.rps:.0f}/s")
        self.findings.closed.setdefault(name, {}).setdefault((str(shape), headers), []).append(sample)

    def _measure_open(self, name: str, scene: Scene) -> None:
        duration_s = self.plan.open_duration_s
        direct = self.load.open(scene.backend_ports, {"backends": scene.backend_pids}, OPEN_RATE, duration_s)
        through = self.load.open(scene.entry, scene.clocks, OPEN_RATE, duration_s)
        p50, p99 = (through.latency_us[key] - direct.latency_us[key] for key in ("p50", "p99"))
        say(f"  {OPEN_RATE}/s: added p50 {p50:.0f} us, p99 {p99:.0f} us")
        self.findings.opened.setdefault(name, []).append((through, direct))

    def _measure_memory(self, peer: Peer) -> dict[str, int]:
        with self._scene(peer) as scene:
            time.sleep(SETTLE_S)
            idle_kib = rss_anon_kib(process_tree(scene.peer_pids[0]))
            with self.load.idle(scene.entry[0], IDLE_CONNECTIONS):
                time.sleep(SETTLE_S)
                connected_kib = rss_anon_kib(process_tree(scene.peer_pids[0]))
        say(f"  RssAnon {idle_kib} KiB idle, {connected_kib} KiB with {IDLE_CONNECTIONS} connections")
        return {"idle_kib": idle_kib, "connected_kib": connected_kib}

    @contextmanager
    def _scene(self, peer: Peer | None) -> Iterator[Scene]:
        with ExitStack() as stack:
            ports, pids = [], []
            for number in range(1, BACKENDS + 1):
                argv = [str(self.native.backend), str(number)]
                log = self.folder / f"backend-{number}.log"
                process = stack.enter_context(running(argv, log, cores=self.cores.load, pipes=True))
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line:
                    raise BenchmarkError(f"a backend ended at start: {tail(log)}")
                ports.append(int(json.loads(line)["port"]))
                pids.append(process.pid)
            if peer is None:
                yield Scene(ports, pids, None, ())
            else:
                port, peer_pids = self._start(stack, peer, ports)
                yield Scene(ports, pids, port, peer_pids)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _start(self, stack: ExitStack, peer: Peer, backends: Sequence[int]) -> tuple[int, list[int]]:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder)))
        place = Place(free_port(), free_port(), backends, folder)
        log = self._log(peer.name)
        process = stack.enter_context(running(peer.command(place), log, cores=self.cores.proxy))
        wait_until_listening(process, place.port, peer.title)
        time.sleep(SETTLE_S)
        return place.port, process_tree(process.pid)


def check_spread(sample: Sample, shape: Shape) -> None:
    """Every backend must have its part; one request at a time may well prefer the fastest one."""
    least = MIN_SHARE if shape.connections * shape.streams > 1 else 0.0
    shares = sample.shares() + [0.0] * (BACKENDS - len(sample.backends))
    if min(shares) <= least:
        text = ", ".join(f"{share:.1%}" for share in shares)
        raise BenchmarkError(f"at {shape} the requests were not balanced over the {BACKENDS} backends: {text}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
