"""What manifests say that leads nowhere: objects that are right by themselves, and do not fit each other.

The API's own controllers make slices that fit. Who writes them by hand forgets a label, a namespace or a port's name,
and would see no more than that endpoints are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controlplane.model.objects import Key, Object, Service, Slice

LABEL = "kubernetes.io/service-name"


def find_misfits(objects: Iterable[Object]) -> list[str]:
    """A sentence for each slice that serves nothing."""
    found = list(objects)
    services = {item.key: item for item in found if isinstance(item, Service)}
    return [problem for item in found if isinstance(item, Slice) and (problem := explain(item, services))]


def explain(item: Slice, services: Mapping[Key, Service]) -> str:
    name = f"endpointslices {item.namespace}/{item.name}"
    if not item.service:
        return f"{name} belongs to no Service: give it the label {LABEL}"
    service = services.get((item.namespace, item.service))
    if service is None:
        return f"{name} names Service {item.namespace}/{item.service}, which does not exist"
    theirs = [port.name for port in service.ports if port.protocol == "TCP"]
    ours = [port.name for port in item.ports if port.protocol == "TCP"]
    if theirs and ours and not set(theirs) & set(ours):
        named = f"its ports are named {shown(ours)}, those {shown(theirs)}"
        return f"{name} has no port of Service {item.service}'s: {named}"
    return ""


def shown(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:5])
