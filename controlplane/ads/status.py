"""The Client Status Discovery Service (CSDS): what each connected client asked for, has taken, and has refused.

For people and tools that look into a mesh (`grpcurl`, gRPC's csds clients); nothing in the mesh depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import grpc
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus, UpdateFailureState
from envoy.service.status.v3.csds_pb2 import DESCRIPTOR, ClientConfig, ClientStatusRequest, ClientStatusResponse
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.any_pb2 import Any

from controlplane.discovery.exchange import Exchange
from controlplane.discovery.stream import Stream
from controlplane.discovery.subscription import ABSENT, Subscription

STATUS_SERVICE: Final = DESCRIPTOR.services_by_name["ClientStatusDiscoveryService"].full_name

Context = grpc.aio.ServicerContext[ClientStatusRequest, ClientStatusResponse]


class Unsupported(Exception):
    """A matcher that is not understood: nothing would be a wrong answer."""


def status_handlers(exchange: Exchange) -> grpc.GenericRpcHandler[ClientStatusRequest, ClientStatusResponse]:
    async def answer(request: ClientStatusRequest, context: Context) -> ClientStatusResponse:
        try:
            return describe(exchange.streams, request)
        except Unsupported as reason:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(reason))

    async def answer_all(_requests: object, context: Context) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await context.write(await answer(request, context))

    codec = {
        "request_deserializer": ClientStatusRequest.FromString,
        "response_serializer": ClientStatusResponse.SerializeToString,
    }
    handlers = {
        "FetchClientStatus": grpc.unary_unary_rpc_method_handler(answer, **codec),
        "StreamClientStatus": grpc.stream_stream_rpc_method_handler(answer_all, **codec),
    }
    return grpc.method_handlers_generic_handler(STATUS_SERVICE, handlers)


def describe(streams: Iterable[Stream], request: ClientStatusRequest) -> ClientStatusResponse:
    """The clients that the request selects, all if it says nothing."""
    response = ClientStatusResponse()
    for stream in streams:
        if stream.node is None or not is_selected(stream.node.id, request):
            continue
        config = response.config.add()
        config.node.CopyFrom(stream.node)
        for subscription in stream.subscriptions.values():
            describe_subscription(config, subscription, bodies=not request.exclude_resource_contents)
    return response


def is_selected(node_id: str, request: ClientStatusRequest) -> bool:
    return not request.node_matchers or any(
        not matcher.node_metadatas and matches(node_id, matcher.node_id) for matcher in request.node_matchers
    )


def matches(text: str, matcher: StringMatcher) -> bool:
    if matcher.ignore_case:
        raise Unsupported("ignore_case is not supported in node_id")
    match matcher.WhichOneof("match_pattern"):
        case "exact":
            return bool(text == matcher.exact)
        case "prefix":
            return text.startswith(matcher.prefix)
        case "suffix":
            return text.endswith(matcher.suffix)
        case "contains":
            return matcher.contains in text
    raise Unsupported("node_id is matched by exact, prefix, suffix or contains")


def describe_subscription(config: ClientConfig, subscription: Subscription, bodies: bool) -> None:
    flying = subscription.flight.names if subscription.flight else ()
    for name, version in subscription.versions():
        item = config.generic_xds_configs.add(type_url=subscription.type_url, name=name, version_info=version or "")
        item.client_status = status_of(version, name in flying, name in subscription.rejected)
        if name in subscription.rejected:
            rejected, problem = subscription.rejected[name]
            item.error_state.CopyFrom(UpdateFailureState(details=problem, version_info=rejected))
        resource = subscription.resource(name)
        if bodies and resource is not None and resource.version == version:
            item.xds_config.CopyFrom(Any(type_url=resource.type_url, value=resource.body))


def status_of(version: str | None, is_flying: bool, is_rejected: bool) -> ClientResourceStatus:
    if is_rejected:
        return ClientResourceStatus.NACKED
    if version is None or is_flying:
        return ClientResourceStatus.REQUESTED
    return ClientResourceStatus.DOES_NOT_EXIST if version == ABSENT else ClientResourceStatus.ACKED
