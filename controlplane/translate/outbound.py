"""The RouteConfiguration with everything, for an Envoy: one per namespace, made of what they have in common.

A message that is repeated in another is there as its bytes, so a virtual host is serialised once, for all namespaces
and as long as its domains stay what they are; a RouteConfiguration is the concatenation.
"""

from __future__ import annotations

from hashlib import sha256

from envoy.config.route.v3.route_pb2 import RouteConfiguration

from controlplane.graph.mesh import Mesh
from controlplane.translate.domains import Domains
from controlplane.translate.listener import OUTBOUND
from controlplane.translate.resource import RDS, Resource
from controlplane.translate.route import outbound_host

_HEAD = RouteConfiguration(name=OUTBOUND).SerializeToString()


class _Host:
    """A virtual host: its domains, and the bytes of a RouteConfiguration that holds nothing else."""

    __slots__ = ("body", "domains")

    def __init__(self, target: str, domains: tuple[str, ...]) -> None:
        self.domains = domains
        self.body = outbound_host(target, domains).SerializeToString(deterministic=True) if domains else b""


class OutboundRoutes:
    """Of one mesh. `before` is of the one before it: what it has made is used again."""

    def __init__(self, mesh: Mesh, before: OutboundRoutes | None = None) -> None:
        self._domains = Domains(mesh)
        kept: dict[str, _Host] = before._hosts if before is not None else {}
        self._hosts: dict[str, _Host] = {
            target: _reuse(kept, target, owned) for target, owned in self._domains.common.items()
        }

    def namespace(self, namespace: str) -> str:
        """The namespace, or that of no client where it makes no difference."""
        return namespace if namespace in self._domains.namespaces else ""

    def resource(self, namespace: str) -> Resource:
        others = {target: _Host(target, owned) for target, owned in self._domains.of(namespace).items()}
        hosts = self._hosts | others
        body = _HEAD + b"".join([hosts[target].body for target in sorted(hosts)])
        return Resource(RDS, OUTBOUND, sha256(body).hexdigest()[:16], body)


def _reuse(kept: dict[str, _Host], target: str, domains: tuple[str, ...]) -> _Host:
    host = kept.get(target)
    return host if host is not None and host.domains == domains else _Host(target, domains)
