"""Two replicas, two processes: the same objects are the same mesh, whatever the hashes of strings happen to be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = """
from random import Random
from controlplane.graph.build import build
from controlplane.graph.graph import Graph
from controlplane.model.snapshot import Snapshot
from tests.properties.rollout import NAMES, OPERATIONS, Cluster, DB, WEB
from dataclasses import replace

def show(mesh):
    tables = mesh.targets, mesh.hosts, mesh.addresses, mesh.pods, mesh.spoken, mesh.opaque
    return [sorted(table.items(), key=lambda item: item[0]) for table in tables]

rng, cluster, graph, snapshot = Random(1), Cluster(), Graph(), Snapshot()
rivals = [replace(WEB, name=name) for name in ("a", "web", "z")]
for service in (*rivals, DB):
    cluster.toggle(service)
for _ in range(400):
    cluster.do(rng.choice(OPERATIONS), rng.choice(NAMES))
events = [change for watch in cluster.watches.values() for change in watch]
rng.shuffle(events)
for event in events:
    snapshot, touched = snapshot.after([event])
    graph.update(snapshot, touched, graph.waiting if rng.random() < 0.1 else frozenset())
    print(show(graph.mesh), sorted(graph.waiting), sorted(graph.unseen))
print(show(build(snapshot)))
"""


def test_the_same_under_any_hash_seed() -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    outputs = [process.communicate(timeout=100) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs[0][1]
    first, *others = [output for output, _ in outputs]
    assert first.count("u1") > 100
    assert all(other == first for other in others)
