"""The run: one protocol after the other in each round, each shape with all peers in a row, in rotating order.

What is compared is measured within seconds of each other, since a machine that others share is a third slower in one
minute than in the next.

Invariant: no figure is kept of a window in which any answer was wrong, or in which a peer left a backend out.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from benchmarks import raw_tcp, wrk
from benchmarks.errors import BenchmarkError
from benchmarks.load import Load, Sample, Shape
from benchmarks.peers.peer import GRPC, HTTP1, TCP, Peer
from benchmarks.plan import DIRECT, IDLE_CONNECTIONS, MEMORY, OPEN, OPEN_RATE, Plan, choose_cores, rotated
from benchmarks.process import busy_share, pinned_here, process_tree, rss_anon_kib, tail
from benchmarks.scene import BACKENDS, SETTLE_S, Scene, Stage
from benchmarks.toolchain import Native

MIN_SHARE = 0.1
MAX_OTHER_WORK = 0.05

Cells = dict[tuple[str, str], list[Sample]]


@dataclass(slots=True)
class Findings:
    """Everything that was measured, by peer; `closed` and `http1` by (shape, headers), `tcp` by what was measured."""

    closed: dict[str, Cells] = field(default_factory=dict)
    opened: dict[str, list[tuple[Sample, Sample]]] = field(default_factory=dict)  # (through the peer, direct)
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    http1: dict[str, Cells] = field(default_factory=dict)
    tcp: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    busy_before: list[float] = field(default_factory=list)  # the machine's other work, before each round


class Bench:
    """One run of a plan."""

    def __init__(self, plan: Plan, native: Native, folder: Path) -> None:
        self.plan = plan
        self.cores = choose_cores(plan.is_pinned)
        self.stage = Stage(native, self.cores, folder)
        self.load = Load(native.loadgen, self.cores.load, folder, plan.warmup_s)
        self.findings = Findings()

    def run(self) -> Findings:
        for number in range(self.plan.rounds):
            self._note_other_work()
            if self.plan.has_grpc:
                self._measure_grpc(number)
            if HTTP1 in self.plan.parts:
                self._measure_http1(number)
            if TCP in self.plan.parts:
                self._measure_tcp(number)
        for cells in (self.findings.closed, self.findings.http1):
            check_use(cells)
        return self.findings

    def _note_other_work(self) -> None:
        busy = busy_share()
        self.findings.busy_before.append(busy)
        if busy > MAX_OTHER_WORK:
            say(f"other work uses {busy:.0%} of this machine: latencies and requests/s will suffer")

    def _list_peers(self, number: int, protocol: str) -> list[tuple[str, Peer | None]]:
        """Whom to measure, in the order of this round."""
        peers = {peer.name: peer for peer in self.plan.peers}
        say(f"round {number + 1}/{self.plan.rounds}, {protocol}")
        return [(name, peers.get(name)) for name in rotated(self.plan.names(protocol), number)]

    @contextmanager
    def _blaming(self, name: str) -> Iterator[None]:
        """Whose fault it is, where one is found."""
        try:
            yield
        except (BenchmarkError, OSError) as error:
            raise BenchmarkError(f"{name}: {error}\nIt last printed: {tail(self.stage.log(name))}") from error

    def _open(self, number: int, protocol: str, stack: ExitStack) -> dict[str, Scene]:
        """All scenes of a round, by peer in its order; those that are not measured just now do nothing."""
        scenes = {}
        for name, peer in self._list_peers(number, protocol):
            with self._blaming(name):
                scenes[name] = stack.enter_context(self.stage.scene(peer, protocol))
        return scenes

    # ---- gRPC

    def _measure_grpc(self, number: int) -> None:
        if MEMORY in self.plan.parts and not self.findings.memory:
            for peer in self.plan.peers:
                with self._blaming(peer.name):
                    self.findings.memory[peer.name] = self._measure_memory(peer)
        if not (self.plan.shapes or OPEN in self.plan.parts):
            return
        with ExitStack() as stack:
            scenes = self._open(number, GRPC, stack)
            for shape in self.plan.shapes:
                for headers in self.plan.headers:
                    say(f"  {shape} {headers}")
                    for name, scene in scenes.items():
                        with self._blaming(name):
                            sample = self.load.closed(scene.entry, scene.clocks, shape, headers, self.plan.duration_s)
                            keep(self.findings.closed, name, shape, headers, sample)
            if self.plan.shapes:
                self._note_loaded(scenes)
            if OPEN in self.plan.parts:
                say(f"  {OPEN_RATE}/s")
                for name, scene in scenes.items():
                    if name != DIRECT:
                        with self._blaming(name):
                            self._measure_open(name, scene)

    def _note_loaded(self, scenes: dict[str, Scene]) -> None:
        for name, memory in self.findings.memory.items():
            memory.setdefault("loaded_kib", rss_anon_kib(process_tree(scenes[name].peer_pids[0])))

    def _measure_open(self, name: str, scene: Scene) -> None:
        duration_s = self.plan.open_duration_s
        direct = self.load.open(scene.backend_ports, {"backends": scene.backend_pids}, OPEN_RATE, duration_s)
        through = self.load.open(scene.entry, scene.clocks, OPEN_RATE, duration_s)
        p50, p99 = (through.latency_us[key] - direct.latency_us[key] for key in ("p50", "p99"))
        say(f"    {name:9}: added p50 {p50:.0f} us, p99 {p99:.0f} us")
        self.findings.opened.setdefault(name, []).append((through, direct))

    def _measure_memory(self, peer: Peer) -> dict[str, int]:
        with self.stage.scene(peer) as scene:
            time.sleep(SETTLE_S)
            idle_kib = rss_anon_kib(process_tree(scene.peer_pids[0]))
            with self.load.idle(scene.entry[0], IDLE_CONNECTIONS):
                time.sleep(SETTLE_S)
                connected_kib = rss_anon_kib(process_tree(scene.peer_pids[0]))
        say(f"{peer.name}: RssAnon {idle_kib} KiB idle, {connected_kib} KiB with {IDLE_CONNECTIONS} connections")
        return {"idle_kib": idle_kib, "connected_kib": connected_kib}

    # ---- the others

    def _measure_http1(self, number: int) -> None:
        with ExitStack() as stack:
            scenes = self._open(number, HTTP1, stack)
            for shape in wrk.SHAPES:
                for headers in self.plan.headers:
                    say(f"  {shape} {headers}")
                    for name, scene in wrk.WINDOWS * list(scenes.items()):
                        with self._blaming(name):
                            ports = scene.entry[0], scene.backend_ports
                            window = shape, headers, self.plan.duration_s, self.cores.load
                            sample = wrk.measure(*ports, scene.clocks, *window)
                            keep(self.findings.http1, name, shape, headers, sample)

    def _measure_tcp(self, number: int) -> None:
        plan = self.plan
        for name, peer in self._list_peers(number, TCP):
            with self._blaming(name), pinned_here(self.cores.load), self.stage.scene(peer, TCP) as scene:
                window = plan.bulk_bytes, plan.echo_duration_s
                figures = raw_tcp.measure(scene.entry[0], scene.peer_pids, scene.raw, *window)
            say(f"    {name:9}: " + ", ".join(f"{what} {value:.1f}" for what, value in figures.items()))
            for what, value in figures.items():
                self.findings.tcp.setdefault(name, {}).setdefault(what, []).append(value)


def keep(found: dict[str, Cells], name: str, shape: Shape, headers: str, sample: Sample) -> None:
    cost = ""
    if "proxy" in sample.cpu_us:
        if shape.connections * shape.streams > 1:
            check_spread(name, shape, sample.shares(), MIN_SHARE)
        cost = f"{sample.cpu_per_request_us('proxy'):6.1f} us proxy, "
    say(f"    {name:9}: {cost}{sample.cpu_per_request_us('backends'):.1f} us backends, {sample.rps:.0f}/s")
    found.setdefault(name, {}).setdefault((str(shape), headers), []).append(sample)


def check_use(found: dict[str, Cells]) -> None:
    """One request at a time may well prefer the fastest backends, but over the whole run it uses each."""
    for name, cells in found.items():
        for shape in dict.fromkeys(shape for shape, _ in cells):
            samples = [sample for (other, _), rounds in cells.items() if other == shape for sample in rounds]
            if "proxy" in samples[0].cpu_us:
                check_spread(name, shape, add_shares(samples), 0.0)


def add_shares(samples: Sequence[Sample]) -> list[float]:
    counts = [sum(column) for column in zip_longest(*(sample.backends for sample in samples), fillvalue=0)]
    return [count / sum(counts) for count in counts]


def check_spread(name: str, shape: Shape | str, shares: Sequence[float], least: float) -> None:
    """Every backend must have its part."""
    shares = [*shares, *[0.0] * (BACKENDS - len(shares))]
    if min(shares) <= least:
        text = ", ".join(f"{share:.1%}" for share in shares)
        raise BenchmarkError(f"{name} at {shape}: not balanced over the {BACKENDS} backends: {text}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
