"""Checks of the Services in meshed namespaces: what is said of their ports, and whom they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from controlplane.graph.mesh import GRPC, HTTP1, HTTP2
from controlplane.graph.protocol import protocol
from injector.patch.wishes import OPAQUE_PORTS as SERVER_FIRST
from mesh.check.facts import Facts, Object, see
from mesh.check.line import Finding, enumerate_some, ok, warn
from mesh.install.parts.common import PART_OF, PRODUCT
from mesh.ports import OPAQUE_PORTS, read_ports

_HTTP: Final = (GRPC, HTTP1, HTTP2)


def list_services(facts: Facts) -> list[Object]:
    services = see(see(facts.scope).services)
    return [item for item in services if (item["metadata"].get("labels") or {}).get(PART_OF) != PRODUCT]


def name_service(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def judge_ports(facts: Facts) -> Finding:
    mistakes = [f"{name_service(service)}: {text}" for service in list_services(facts) for text in mistake(service)]
    if mistakes:
        return warn(
            enumerate_some(mistakes),
            f"a port is HTTP (by appProtocol or name) or opaque (by the annotation {OPAQUE_PORTS}): say one of both",
        )
    return ok()


def mistake(service: Object) -> Iterator[str]:
    """What its ports say of themselves and what its annotation says, where that cannot both be so."""
    text = (service["metadata"].get("annotations") or {}).get(OPAQUE_PORTS)
    opaque, usual = read_ports(text or ""), read_ports(SERVER_FIRST)
    for item in opaque.wrong:
        yield f"{item[:40]} in {OPAQUE_PORTS} is no port"
    for port in service["spec"].get("ports") or []:
        said = port.get("appProtocol") or port.get("name") or ""
        if protocol(port.get("appProtocol", ""), port.get("name", "")) not in _HTTP:
            continue
        if port["port"] in opaque:
            yield f"port {port['port']} is {said}, and listed as opaque, so it is not balanced per request"
        elif text is None and port["port"] in usual:
            yield f"port {port['port']} is {said}, and usually that of a protocol where the server speaks first"


def judge_endpoints(facts: Facts) -> Finding:
    """ExternalNames and Services without a selector get their endpoints elsewhere."""
    pods = see(see(facts.scope).pods)
    labels = [(pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}) for pod in pods]
    empty = []
    for service in list_services(facts):
        selector = (service["spec"].get("selector") or {}).items()
        place = service["metadata"]["namespace"]
        if not selector or service["spec"].get("type") == "ExternalName":
            continue
        if not any(selector <= found.items() for namespace, found in labels if namespace == place):
            wanted = ",".join(f"{key}={value}" for key, value in selector)
            empty.append(f"{name_service(service)} ({wanted})")
    if empty:
        return warn(
            f"no pod has the labels that these Services select: {enumerate_some(empty)}",
            "mend the selector or the pods' labels; nothing to do where the workload is scaled to 0",
        )
    return ok()
