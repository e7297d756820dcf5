"""ClusterLoadAssignments for tests, written shortly."""

from __future__ import annotations

from typing import Any

from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from google.protobuf.struct_pb2 import Struct


def item(address: str, port: int = 80, weight: int | None = None, **fields: Any) -> dict[str, Any]:
    made = {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}, **fields}
    return made if weight is None else {**made, "load_balancing_weight": {"value": weight}}


def locality(*items: dict[str, Any], weight: int | None = -1, **fields: Any) -> dict[str, Any]:
    """One that weighs as many as it has endpoints, unless told otherwise."""
    made = {"lb_endpoints": items, **fields}
    if weight is None:
        return made
    return {**made, "load_balancing_weight": {"value": len(items) if weight < 0 else weight}}


def metadata(**fields: Any) -> dict[str, Any]:
    struct = Struct()
    struct.update(fields)
    return {"filter_metadata": {"gossamer.mesh": struct}}


def assignment(*localities: dict[str, Any], **fields: Any) -> bytes:
    return ClusterLoadAssignment(cluster_name="a", endpoints=localities, **fields).SerializeToString()


CLUSTER_OF_TWO = assignment(
    locality(item("10.0.0.1", metadata=metadata(pod="web-1")), metadata=metadata(namespace="shop", workload="web")),
    locality(item("10.0.0.2", 8080, 3, health_status="HEALTHY"), item("::1"), weight=7, priority=1),
)
