"""A real Envoy whose only source is an ADS server, of the version that the benchmarks pin."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.toolchain import envoy_binary
from tests.e2e.processes import Process
from tests.requirement import require

HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def start_envoy(directory: Path, xds_port: int, metadata: Mapping[str, str] | None = None) -> Process:
    try:
        binary = envoy_binary()
    except BenchmarkError as error:
        require(False, str(error))
    path = directory / "envoy.json"
    path.write_text(json.dumps(_bootstrap(xds_port, metadata or {})))
    return Process(
        [str(binary), "-c", str(path), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    )


def _bootstrap(port: int, metadata: Mapping[str, str]) -> dict[str, object]:
    """ADS is the only source; names are asked of a resolver that is not there, lest a test asks the world."""
    server = {"address": "127.0.0.1", "port_value": port}
    nowhere = {"socket_address": {"address": "127.0.0.1", "port_value": 9}}
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": "golden", "cluster": "golden", "metadata": dict(metadata)},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "control-plane"}}],
            },
            "lds_config": ads,
            "cds_config": ads,
        },
        "static_resources": {
            "clusters": [
                {
                    "name": "control-plane",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "control-plane",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": server}}}]}],
                    },
                    "typed_extension_protocol_options": {
                        HTTP2: {
                            "@type": f"type.googleapis.com/{HTTP2}",
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                }
            ]
        },
        "typed_dns_resolver_config": {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [nowhere],
            },
        },
    }
