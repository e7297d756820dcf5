"""The mesh of a snapshot, from nothing: what any sequence of updates of a `Graph` must come to."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from controlplane.graph.graph import Graph
from controlplane.graph.mesh import Mesh
from controlplane.model.objects import PODS, SERVICES, SLICES
from controlplane.model.snapshot import Snapshot


def build(snapshot: Snapshot, overdue: AbstractSet[str] = frozenset(), domain: str = "cluster.local") -> Mesh:
    """All that can be called. `overdue` are UIDs of pods that were waited for long enough."""
    graph = Graph(domain)
    everything = frozenset((kind, key) for kind in (SERVICES, SLICES, PODS) for key in snapshot.table(kind))
    graph.update(snapshot, everything, overdue)
    return graph.mesh
