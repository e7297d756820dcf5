"""Which host names mean which target, for an Envoy, which is told all of them at once.

Envoy refuses a RouteConfiguration in which two virtual hosts share a domain. Where a name could mean two hosts, the one
wins that Kubernetes' DNS search path would find first from the client's namespace: `X` completed by the namespace, by
`.svc.DOMAIN`, by `.DOMAIN`, and as it stands. A name without a port means port 80, or else a Service's only port.
"""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.graph.mesh import Mesh

Ports = dict[str, str]  # of one host, from port to the target's canonical name


class Domains:
    """Of one mesh: what all namespaces have in common is worked out once."""

    def __init__(self, mesh: Mesh) -> None:
        self._hosts = _hosts(mesh)
        self._names = _names(self._hosts, mesh.domain)
        self._short = _short_names(self._hosts, mesh.domain)
        self._addresses: dict[str, str] = {}
        for address, ports in _addresses(mesh).items():
            self._addresses |= _owners(address, ports)
        owners: dict[str, str] = {}
        for name, host in self._names.items():
            owners |= _owners(name, self._hosts[host])
        owners |= self._addresses
        self.common: dict[str, tuple[str, ...]] = _by_target(owners)

    @property
    def namespaces(self) -> Mapping[str, object]:
        """Those in which there is a host, and in which names of one label therefore mean something."""
        return self._short

    def of(self, namespace: str) -> dict[str, tuple[str, ...]]:
        """The sorted domains of the targets whose domains are others in this namespace; none at all is empty."""
        lost: dict[str, str] = {}
        gained: dict[str, str] = {}
        for name, host in self._short.get(namespace, {}).items():
            if name in self._names:
                lost |= _owners(name, self._hosts[self._names[name]])
            gained |= _owners(name, self._hosts[host])
        changed = {target: set(self.common.get(target, ())) for target in (*lost.values(), *gained.values())}
        for domain in lost.keys() - self._addresses.keys():
            changed[lost[domain]].discard(domain)
        for domain in gained.keys() - self._addresses.keys():
            changed[gained[domain]].add(domain)
        return {target: tuple(sorted(domains)) for target, domains in changed.items()}


def _hosts(mesh: Mesh) -> dict[str, Ports]:
    hosts: dict[str, Ports] = {host: {} for host in sorted(mesh.hosts)}  # a name may be taken by a host without ports
    for name in sorted(mesh.targets):
        host, _, port = name.rpartition(":")
        hosts.setdefault(host, {})[port] = name
    return hosts


def _names(hosts: dict[str, Ports], domain: str) -> dict[str, str]:
    """From each name to the host that the search path of no namespace finds first."""
    names: dict[str, str] = {}
    for suffix in (f".svc.{domain}", f".{domain}", ""):
        for host in hosts:
            if host.endswith(suffix):
                names.setdefault(host.removesuffix(suffix), host)
    return names


def _short_names(hosts: dict[str, Ports], domain: str) -> dict[str, dict[str, str]]:
    """By namespace, from each name that its search path completes to the host."""
    found: dict[str, dict[str, str]] = {}
    suffix = f".svc.{domain}"
    for host in hosts:
        name, dot, namespace = host.removesuffix(suffix).rpartition(".")
        if host.endswith(suffix) and dot:
            found.setdefault(namespace, {})[name] = host
    return found


def _addresses(mesh: Mesh) -> dict[str, Ports]:
    """The ports of each cluster IP."""
    found: dict[str, Ports] = {}
    for address in sorted(mesh.addresses):
        host, _, port = address.rpartition(":")
        found.setdefault(host, {})[port] = mesh.addresses[address]
    return found


def _owners(name: str, ports: Ports) -> dict[str, str]:
    """From each domain of a name to its target."""
    owners = {f"{name}:{port}": target for port, target in ports.items()}
    if len(ports) == 1:
        owners[name] = next(iter(ports.values()))
    elif "80" in ports:
        owners[name] = ports["80"]
    return owners


def _by_target(owners: dict[str, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for domain in sorted(owners):
        found.setdefault(owners[domain], []).append(domain)
    return {target: tuple(domains) for target, domains in found.items()}
