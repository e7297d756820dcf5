"""Which host names mean which target, for an Envoy, which is told all of them at once.

Envoy refuses a RouteConfiguration in which two virtual hosts share a domain. Where a name could mean two hosts, the one
wins that Kubernetes' DNS search path would find first from the client's namespace: `X` completed by the namespace, by
`.svc.DOMAIN`, by `.DOMAIN`, and as it stands. A name without a port means port 80, or else a Service's only port.
"""

from __future__ import annotations

from controlplane.graph.mesh import Mesh

Ports = dict[str, str]  # of one host, from port to the target's canonical name


def domains(mesh: Mesh, namespace: str) -> dict[str, list[str]]:
    """The domains of each target, sorted; no domain occurs twice. Names of one label are those of `namespace`."""
    hosts = _hosts(mesh)
    owners: dict[str, str] = {}
    for name, host in _names(hosts, mesh.domain, namespace).items():
        _own(owners, name, hosts[host])
    for address, ports in _addresses(mesh).items():
        _own(owners, address, ports)
    found: dict[str, list[str]] = {}
    for domain in sorted(owners):
        found.setdefault(owners[domain], []).append(domain)
    return found


def _hosts(mesh: Mesh) -> dict[str, Ports]:
    hosts: dict[str, Ports] = {host: {} for host in sorted(mesh.hosts)}  # a name may be taken by a host without ports
    for name in sorted(mesh.targets):
        host, _, port = name.rpartition(":")
        hosts.setdefault(host, {})[port] = name
    return hosts


def _names(hosts: dict[str, Ports], domain: str, namespace: str) -> dict[str, str]:
    """From each name to the host that the search path finds first."""
    search = [f".svc.{domain}", f".{domain}", ""]
    if namespace:
        search.insert(0, f".{namespace}.svc.{domain}")
    names: dict[str, str] = {}
    for suffix in search:
        for host in hosts:
            if host.endswith(suffix):
                names.setdefault(host.removesuffix(suffix), host)
    return names


def _addresses(mesh: Mesh) -> dict[str, Ports]:
    """The ports of each cluster IP."""
    found: dict[str, Ports] = {}
    for address in sorted(mesh.addresses):
        host, _, port = address.rpartition(":")
        found.setdefault(host, {})[port] = mesh.addresses[address]
    return found


def _own(owners: dict[str, str], name: str, ports: Ports) -> None:
    for port, target in ports.items():
        owners[f"{name}:{port}"] = target
    if len(ports) == 1:
        owners[name] = next(iter(ports.values()))
    elif "80" in ports:
        owners[name] = ports["80"]
