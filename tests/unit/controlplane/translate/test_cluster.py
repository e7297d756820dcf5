from __future__ import annotations

from dataclasses import replace

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

from controlplane.graph.mesh import DETECT, GRPC, HTTP1, HTTP2, TCP, TLS
from controlplane.translate.cluster import cluster
from mesh.contract import METADATA
from tests.unit.controlplane.translate.samples import target

EXPLICIT = "explicit_http_config"


@pytest.mark.parametrize(
    ("protocol", "way", "version"),
    [
        (GRPC, EXPLICIT, "http2_protocol_options"),
        (HTTP2, EXPLICIT, "http2_protocol_options"),
        (HTTP1, EXPLICIT, "http_protocol_options"),
        (DETECT, "use_downstream_protocol_config", ""),
        (TLS, "use_downstream_protocol_config", ""),
        (TCP, "use_downstream_protocol_config", ""),
    ],
)
def test_what_an_envoy_speaks_upstream(protocol: str, way: str, version: str) -> None:
    message = cluster(replace(target(), protocol=protocol))
    options = HttpProtocolOptions()
    (packed,) = message.typed_extension_protocol_options.values()
    assert packed.Unpack(options)
    assert options.WhichOneof("upstream_protocol_options") == way
    if version:
        assert options.explicit_http_config.WhichOneof("protocol_config") == version


def test_endpoints_come_over_ads_under_the_name_of_the_cluster() -> None:
    message = cluster(target("web.shop.svc.cluster.local:80"))
    assert message.type == Cluster.EDS
    assert message.eds_cluster_config.service_name == message.name == "web.shop.svc.cluster.local:80"
    assert message.eds_cluster_config.eds_config.HasField("ads")


def test_an_external_name_is_resolved_by_the_client() -> None:
    message = cluster(replace(target(), external=("db.example.com", 5432)))
    assert message.type == Cluster.LOGICAL_DNS
    assert not message.HasField("eds_cluster_config")
    (locality,) = message.load_assignment.endpoints
    (only,) = locality.lb_endpoints
    address = only.endpoint.address.socket_address
    assert (address.address, address.port_value, address.resolver_name) == ("db.example.com", 5432, "")


def test_the_last_policy_is_one_that_every_client_knows() -> None:
    policies = cluster(target()).load_balancing_policy.policies
    names = [policy.typed_extension_config.typed_config.type_url.rpartition(".")[2] for policy in policies]
    assert names == ["LeastRequest", "RoundRobin"]


def test_a_mesh_adds_no_limit_of_concurrent_requests() -> None:
    (limits,) = cluster(target()).circuit_breakers.thresholds
    assert limits.max_requests.value == limits.max_connections.value == limits.max_pending_requests.value == 2**32 - 1


def test_sidecars_hear_what_a_port_speaks_and_whether_its_name_counts() -> None:
    fields = cluster(replace(target(), protocol=GRPC, by_name=True)).metadata.filter_metadata[METADATA].fields
    assert fields["protocol"].string_value == GRPC
    assert fields["by_name"].bool_value
    assert not cluster(replace(target(), protocol=DETECT)).HasField("metadata")
