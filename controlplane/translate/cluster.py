"""The Cluster of a target, the same for every client.

Both gRPC (A52) and Envoy take the first balancing policy that they know, and neither looks at locality weights in
these policies: all endpoints are equal. `lb_policy` is for clients older than that. gRPC (A32) and Envoy would both
refuse the 1,025th concurrent request of a cluster by default; a mesh adds no such limit.
"""

from __future__ import annotations

from envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from envoy.config.cluster.v3.cluster_pb2 import Cluster, LoadBalancingPolicy
from envoy.config.core.v3.config_source_pb2 import AggregatedConfigSource, ApiVersion, ConfigSource
from envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions
from envoy.extensions.load_balancing_policies.least_request.v3.least_request_pb2 import LeastRequest
from envoy.extensions.load_balancing_policies.round_robin.v3.round_robin_pb2 import RoundRobin
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from controlplane.graph.mesh import GRPC, HTTP1, HTTP2, Target
from mesh.contract import METADATA

ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)
CONNECT_TIMEOUT_S = 1
UNLIMITED = 2**32 - 1


def packed(message: Message) -> Any:
    wrapped = Any()
    wrapped.Pack(message, deterministic=True)
    return wrapped


def _template() -> Cluster:
    policies = (("least_request", LeastRequest()), ("round_robin", RoundRobin()))
    cluster = Cluster(
        lb_policy=Cluster.ROUND_ROBIN,
        load_balancing_policy=LoadBalancingPolicy(
            policies=[
                {
                    "typed_extension_config": {
                        "name": f"envoy.load_balancing_policies.{name}",
                        "typed_config": packed(policy),
                    }
                }
                for name, policy in policies
            ]
        ),
        circuit_breakers=CircuitBreakers(
            thresholds=[
                {
                    "max_connections": {"value": UNLIMITED},
                    "max_pending_requests": {"value": UNLIMITED},
                    "max_requests": {"value": UNLIMITED},
                    "max_retries": {"value": UNLIMITED},
                }
            ]
        ),
    )
    cluster.connect_timeout.seconds = CONNECT_TIMEOUT_S
    return cluster


_TEMPLATE = _template()
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_EXPLICIT_HTTP2 = packed(HttpProtocolOptions(explicit_http_config={"http2_protocol_options": Http2ProtocolOptions()}))
_EXPLICIT_HTTP1 = packed(HttpProtocolOptions(explicit_http_config={"http_protocol_options": Http1ProtocolOptions()}))
_AS_DOWNSTREAM = packed(
    HttpProtocolOptions(
        use_downstream_protocol_config={
            "http_protocol_options": Http1ProtocolOptions(),
            "http2_protocol_options": Http2ProtocolOptions(),
        }
    )
)
_BY_PROTOCOL = {GRPC: _EXPLICIT_HTTP2, HTTP2: _EXPLICIT_HTTP2, HTTP1: _EXPLICIT_HTTP1}


def cluster(target: Target) -> Cluster:
    message = Cluster(name=target.name)
    message.MergeFrom(_TEMPLATE)
    message.typed_extension_protocol_options[_OPTIONS].CopyFrom(_BY_PROTOCOL.get(target.protocol, _AS_DOWNSTREAM))
    if target.protocol:
        message.metadata.filter_metadata[METADATA].fields["protocol"].string_value = target.protocol
    if target.by_name:
        message.metadata.filter_metadata[METADATA].fields["by_name"].bool_value = True
    if target.external is None:
        message.type = Cluster.EDS
        message.eds_cluster_config.eds_config.CopyFrom(ADS)
        message.eds_cluster_config.service_name = target.name
    else:
        _resolve(message, *target.external)
    return message


def _resolve(message: Cluster, host: str, port: int) -> None:
    """A DNS name that the client resolves, with exactly one endpoint in one locality, as gRPC A37 demands."""
    message.type = Cluster.LOGICAL_DNS
    message.dns_lookup_family = Cluster.ALL
    message.load_assignment.cluster_name = message.name
    locality = message.load_assignment.endpoints.add()
    locality.locality.SetInParent()
    locality.load_balancing_weight.value = 1
    address = locality.lb_endpoints.add().endpoint.address.socket_address
    address.address = host
    address.port_value = port
