"""A client that refuses what it gets: `refusal.py HOST:PORT NODE NAME`. It ends when the next response is there."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterator

import grpc
from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceStub
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from google.rpc.status_pb2 import Status

LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"


def main(address: str, node: str, name: str) -> None:
    asked: queue.SimpleQueue[DiscoveryRequest | None] = queue.SimpleQueue()

    def requests() -> Iterator[DiscoveryRequest]:
        while (request := asked.get()) is not None:
            yield request

    first = DiscoveryRequest(type_url=LISTENER, resource_names=[name])
    first.node.id, first.node.user_agent_name = node, "gRPC Python"
    with grpc.insecure_channel(address) as channel:
        responses = AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources(requests(), timeout=30)
        asked.put(first)
        found = next(responses)
        refused = DiscoveryRequest(type_url=LISTENER, resource_names=[name], response_nonce=found.nonce)
        refused.error_detail.CopyFrom(Status(code=3, message="not to my taste"))
        asked.put(refused)
        # Requests are read in order: who answers the next one has read the refusal.
        asked.put(DiscoveryRequest(type_url=ROUTE, resource_names=[name]))
        next(responses)
        asked.put(None)


if __name__ == "__main__":
    main(*sys.argv[1:])
