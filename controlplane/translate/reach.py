"""Which endpoints of a target a client may use, by where it runs.

As kube-proxy does it: with `internalTrafficPolicy: Local` those of the client's own node, even if there are none; else
those that topology hints name for the client's zone, provided that every endpoint has hints and one is for that zone.
A client that does not say where it runs gets all, but for those that end and are left to their own node.
"""

from __future__ import annotations

from dataclasses import dataclass

from controlplane.graph.mesh import Endpoint, Target
from controlplane.translate.resource import View


@dataclass(frozen=True, slots=True)
class Reach:
    """The zones and nodes that make a difference for a target; both empty where all clients get the same."""

    zones: frozenset[str]
    nodes: frozenset[str]
    local_only: bool

    def part(self, view: View) -> tuple[str, str]:
        """The part of the view that matters, (zone, node): equal parts get equal endpoints."""
        if self.local_only and view.node:
            return "", view.node if view.node in self.nodes else NOWHERE
        return view.zone if view.zone in self.zones else "", ""


NOWHERE = "-"  # never a node's name: all nodes without an endpoint share one answer


def reach(target: Target) -> Reach:
    endpoints = target.endpoints
    if target.local_only:
        return Reach(frozenset(), frozenset(endpoint.node for endpoint in endpoints), True)
    is_hinted = all(endpoint.zones for endpoint in endpoints)
    zones = frozenset(zone for endpoint in endpoints for zone in endpoint.zones) if is_hinted else frozenset()
    return Reach(zones, frozenset(), False)


def reachable(target: Target, zone: str, node: str) -> tuple[Endpoint, ...]:
    """The endpoints for a part of a view, as `Reach.part` gave it."""
    if node:
        return tuple(endpoint for endpoint in target.endpoints if endpoint.node == node)
    if zone:
        return tuple(endpoint for endpoint in target.endpoints if zone in endpoint.zones)
    if target.local_only:
        return tuple(endpoint for endpoint in target.endpoints if not endpoint.late)
    return target.endpoints
