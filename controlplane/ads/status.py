"""The Client Status Discovery Service (CSDS): what each connected client asked for, has taken, and has refused.

For people and tools that look into a mesh (`grpcurl`, gRPC's csds clients); nothing in the mesh depends on it. Clients
are not authenticated, so it is bounded: bodies only of a client that the caller can name, two answers at a time, 4 MB.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

import grpc
from envoy.admin.v3.config_dump_shared_pb2 import ClientResourceStatus, UpdateFailureState
from envoy.service.status.v3.csds_pb2 import DESCRIPTOR, ClientConfig, ClientStatusRequest, ClientStatusResponse
from envoy.type.matcher.v3.string_pb2 import StringMatcher
from google.protobuf.any_pb2 import Any

from controlplane.ads.others import address_of
from controlplane.ads.unsent import Unsent
from controlplane.discovery.exchange import Exchange
from controlplane.discovery.stream import Stream
from controlplane.discovery.subscription import ABSENT, Subscription

STATUS_SERVICE: Final = DESCRIPTOR.services_by_name["ClientStatusDiscoveryService"].full_name

AT_A_TIME: Final = 2
BYTES_MAX: Final = 4 << 20  # what gRPC clients take by default
ANSWER_S: Final = 30.0
_ITEMS_PER_TURN: Final = 500

Context = grpc.aio.ServicerContext[ClientStatusRequest, ClientStatusResponse]


class Unsupported(Exception):
    """A matcher that is not understood: nothing would be a wrong answer."""


class TooMuch(Exception):
    """The answer would be too large."""


def status_handlers(
    exchange: Exchange, unsent: Unsent
) -> grpc.GenericRpcHandler[ClientStatusRequest, ClientStatusResponse]:
    turn = asyncio.Semaphore(AT_A_TIME)

    async def answer(request: ClientStatusRequest, context: Context) -> None:
        address, size = address_of(context), 0
        try:
            async with turn:
                await unsent.wait(address)
                response = await describe(list(exchange.streams), request)
                size = response.ByteSize()
                unsent.add(address, size)
                writing = asyncio.ensure_future(context.write(response))
                writing.add_done_callback(look_at)
                await asyncio.wait([writing], timeout=ANSWER_S)
            await writing  # of a client that does not read, until its connection ends
        except Unsupported as reason:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(reason))
        except TooMuch as reason:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, str(reason))
        except grpc.aio.BaseError:
            return  # the client went away while we wrote
        finally:
            unsent.remove(address, size)

    async def answer_all(_requests: object, context: Context) -> None:
        while (request := await context.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
            await answer(request, context)

    codec = {
        "request_deserializer": ClientStatusRequest.FromString,
        "response_serializer": ClientStatusResponse.SerializeToString,
    }
    handlers = {
        # On the wire the same as a call with one answer; so it is known when that has been written.
        "FetchClientStatus": grpc.unary_stream_rpc_method_handler(answer, **codec),
        "StreamClientStatus": grpc.stream_stream_rpc_method_handler(answer_all, **codec),
    }
    return grpc.method_handlers_generic_handler(STATUS_SERVICE, handlers)


def look_at(writing: asyncio.Future[None]) -> None:
    """So that nobody calls its failure lost where the call has ended before."""
    if not writing.cancelled():
        writing.exception()


async def describe(streams: Iterable[Stream], request: ClientStatusRequest) -> ClientStatusResponse:
    """The clients that the request selects, all if it says nothing. Others get their turn in between."""
    response, size = ClientStatusResponse(), 0
    with_bodies = names_a_client(request) and not request.exclude_resource_contents
    for stream in streams:
        if stream.node is None or not is_selected(stream.node.id, request):
            continue
        config = response.config.add()
        config.node.CopyFrom(stream.node)
        size += config.ByteSize()
        for item in describe_subscriptions(tuple(stream.subscriptions.values()), with_bodies):
            size += item.ByteSize()
            if size > BYTES_MAX:
                raise TooMuch(f"the answer is larger than {BYTES_MAX >> 20} MB; select clients by node_matchers")
            config.generic_xds_configs.append(item)
            if len(config.generic_xds_configs) % _ITEMS_PER_TURN == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
    return response


def names_a_client(request: ClientStatusRequest) -> bool:
    matchers = request.node_matchers
    return len(matchers) == 1 and matchers[0].node_id.WhichOneof("match_pattern") == "exact"


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


def describe_subscriptions(
    subscriptions: Iterable[Subscription], with_bodies: bool
) -> Iterator[ClientConfig.GenericXdsConfig]:
    for subscription in subscriptions:
        flying = frozenset(subscription.flight.names) if subscription.flight else frozenset()
        for name, version in subscription.versions():
            yield describe_name(subscription, name, version, name in flying, with_bodies)


def describe_name(
    subscription: Subscription, name: str, version: str | None, is_flying: bool, with_body: bool
) -> ClientConfig.GenericXdsConfig:
    item = ClientConfig.GenericXdsConfig(type_url=subscription.type_url, name=name, version_info=version or "")
    item.client_status = status_of(version, is_flying, name in subscription.rejected)
    if name in subscription.rejected:
        rejected, problem = subscription.rejected[name]
        item.error_state.CopyFrom(UpdateFailureState(details=problem, version_info=rejected))
    resource = subscription.resource(name)
    if with_body and resource is not None and resource.version == version:
        item.xds_config.CopyFrom(Any(type_url=resource.type_url, value=resource.body))
    return item


def status_of(version: str | None, is_flying: bool, is_rejected: bool) -> ClientResourceStatus:
    if is_rejected:
        return ClientResourceStatus.NACKED
    if version is None or is_flying:
        return ClientResourceStatus.REQUESTED
    return ClientResourceStatus.DOES_NOT_EXIST if version == ABSENT else ClientResourceStatus.ACKED
