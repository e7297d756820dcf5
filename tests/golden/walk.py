"""What a client gets when it asks as clients do: each resource names the next."""

from __future__ import annotations

import json
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from google.protobuf.json_format import MessageToJson

from controlplane.translate.resource import CDS, EDS, ENVOY, LDS, RDS, Resource
from controlplane.translate.translator import Translator
from tests.golden.case import Client

MESSAGES = {
    LDS: listener_pb2.Listener,
    RDS: route_pb2.RouteConfiguration,
    CDS: cluster_pb2.Cluster,
    EDS: endpoint_pb2.ClusterLoadAssignment,
}
Asked = dict[tuple[str, str], Resource | None]  # by type and name


def ask(translator: Translator, client: Client) -> Asked:
    """Every resource that the client comes to ask for; None where there is none."""
    view = client.view
    is_envoy = view.kind == ENVOY
    listeners = translator.wildcard(LDS, view) if is_envoy else client.listeners
    clusters = set(translator.wildcard(CDS, view)) if is_envoy else set()
    asked: Asked = {(LDS, name): translator.get(LDS, name, view) for name in listeners}
    for name in {route_name(resource) for resource in asked.values() if resource}:
        routes = asked[RDS, name] = translator.get(RDS, name, view)
        assert routes is not None, f"no routes {name}"
        clusters |= cluster_names(routes)
    for name in clusters:
        cluster = asked[CDS, name] = translator.get(CDS, name, view)
        assert cluster is not None, f"no cluster {name}"
        if (fields := as_dict(cluster))["type"] == "EDS":
            service = fields["eds_cluster_config"]["service_name"]
            asked[EDS, service] = translator.get(EDS, service, view)
            assert asked[EDS, service] is not None, f"no endpoints {service}"
    return asked


def as_dict(resource: Resource) -> dict[str, Any]:
    message = MESSAGES[resource.type_url].FromString(resource.body)
    return dict(json.loads(MessageToJson(message, preserving_proto_field_name=True)))


def route_name(resource: Resource) -> str:
    listener = as_dict(resource)
    if "api_listener" in listener:
        manager = listener["api_listener"]["api_listener"]
    else:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return str(manager["rds"]["route_config_name"])


def cluster_names(resource: Resource) -> set[str]:
    hosts = as_dict(resource).get("virtual_hosts", [])
    return {route["route"]["cluster"] for host in hosts for route in host["routes"]}
