"""The ClusterLoadAssignment of a target: where it is, and who runs there.

What gRPC demands (A27): a locality is present, though it may be empty, has a weight, and occurs once; an address occurs
once. A locality is a (zone, workload), and what endpoints of a workload share is stored there once, as metadata. Its
`sub_zone` is a function of the workload alone, so that an endpoint's locality never changes with its neighbours: Envoy
would take it for another host and drop its connections. No endpoints is an assignment too: the client must forget them.
"""

from __future__ import annotations

from collections.abc import Sequence

from envoy.config.core.v3.base_pb2 import Metadata
from envoy.config.endpoint.v3.endpoint_components_pb2 import LocalityLbEndpoints
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from controlplane.graph.mesh import UNKNOWN, Endpoint, Workload
from mesh.contract import METADATA


def assignment(cluster: str, endpoints: Sequence[Endpoint]) -> ClusterLoadAssignment:
    message = ClusterLoadAssignment(cluster_name=cluster)
    localities: dict[tuple[str, Workload], list[Endpoint]] = {}
    for endpoint in endpoints:
        localities.setdefault((endpoint.zone, endpoint.workload), []).append(endpoint)
    for zone, workload in sorted(localities):
        _fill(message.endpoints.add(), zone, workload, localities[zone, workload])
    return message


def _fill(locality: LocalityLbEndpoints, zone: str, workload: Workload, endpoints: list[Endpoint]) -> None:
    locality.locality.zone = zone  # present, even if it is empty
    locality.locality.sub_zone = sub_zone(workload)
    locality.load_balancing_weight.value = len(endpoints)
    if workload != UNKNOWN:
        _describe(locality.metadata, workload)
    for endpoint in sorted(endpoints):
        item = locality.lb_endpoints.add()
        address = item.endpoint.address.socket_address
        address.address = endpoint.host
        address.port_value = endpoint.port
        if endpoint.pod:
            item.metadata.filter_metadata[METADATA].fields["pod"].string_value = endpoint.pod


def sub_zone(workload: Workload) -> str:
    """Kubernetes names hold no slash, so two workloads never share one."""
    if workload == UNKNOWN:
        return ""
    side = "meshed" if workload.meshed else "unmeshed"
    return f"{workload.namespace}/{workload.kind}/{workload.name}/{workload.service_account}/{side}"


def _describe(metadata: Metadata, workload: Workload) -> None:
    fields = metadata.filter_metadata[METADATA].fields
    fields["namespace"].string_value = workload.namespace
    fields["kind"].string_value = workload.kind
    fields["workload"].string_value = workload.name
    fields["service_account"].string_value = workload.service_account
    fields["meshed"].bool_value = workload.meshed
