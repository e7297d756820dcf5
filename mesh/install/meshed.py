"""How many pods have the sidecar: what an uninstallation leaves behind in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from controlplane.sources.wire import Refusal
from mesh.contract import INJECTED

if TYPE_CHECKING:
    from mesh.install.cluster import Cluster, Object

_PAGE: Final = "500"


async def count_meshed(cluster: Cluster, namespace: str) -> int:
    """In the namespace, or in all where it is empty; 0 where that may not be seen."""
    path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
    count, query = 0, {"limit": _PAGE}
    while True:
        try:
            answer: Object = await cluster.get(path, **query) or {}
        except Refusal:
            return count
        count += sum(map(is_meshed, answer.get("items") or []))
        if not (more := (answer.get("metadata") or {}).get("continue")):
            return count
        query["continue"] = more


def is_meshed(pod: Object) -> bool:
    return INJECTED in (pod["metadata"].get("annotations") or {})
