"""The four resources of a destination as a control plane makes them, for the tests of its client."""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from google.protobuf.message import Message

from proxy.control.messages import Resource

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def make_listener(name: str, routes: str) -> Message:
    manager = HttpConnectionManager()
    manager.rds.config_source.CopyFrom(ADS)
    manager.rds.route_config_name = routes
    manager.http_filters.add(name="router").typed_config.Pack(Router())
    listener = Listener(name=name)
    listener.api_listener.api_listener.Pack(manager)
    return listener


def make_routes(name: str, *clusters: str) -> Message:
    """One route for each cluster: a prefix of its name, and any path for the last one."""
    table = RouteConfiguration(name=name)
    host = table.virtual_hosts.add(name="all", domains=["*"])
    for cluster in clusters:
        route = host.routes.add()
        route.match.prefix = "" if cluster == clusters[-1] else f"/{cluster}"
        route.route.cluster = cluster
        route.route.timeout.seconds = 0
    return table


def make_cluster(name: str, endpoints: str = "") -> Message:
    cluster = Cluster(name=name, type=Cluster.EDS)
    cluster.connect_timeout.seconds = 1
    cluster.eds_cluster_config.eds_config.CopyFrom(ADS)
    cluster.eds_cluster_config.service_name = endpoints or name
    return cluster


def make_endpoints(name: str, *addresses: tuple[str, int]) -> Message:
    assignment = ClusterLoadAssignment(cluster_name=name)
    locality = assignment.endpoints.add()
    locality.load_balancing_weight.value = max(1, len(addresses))
    for host, port in addresses:
        address = locality.lb_endpoints.add().endpoint.address.socket_address
        address.address = host
        address.port_value = port
    return assignment


def make_resource(type_url: str, name: str, version: str, message: Message | bytes) -> Resource:
    body = message if isinstance(message, bytes) else message.SerializeToString(deterministic=True)
    return Resource(name, version, type_url, body)
