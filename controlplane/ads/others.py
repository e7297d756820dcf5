"""Calls that are not discovery: health, reflection, status. They are counted apart.

So they cannot lock discovery out, nor discovery the probe that asks for health. What answers once and ends is not
counted: it is over at once.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import grpc

CALLS_MAX = 100
PEER_PARTS = 4

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
Context = grpc.aio.ServicerContext[Any, Any]


class Others(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # not generic when it runs
    def __init__(self, discovery: str, calls_max: int = CALLS_MAX) -> None:
        self._discovery = f"/{discovery}/"
        self._calls_max = calls_max
        self._by_address: Counter[str] = Counter()

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        handler: Any = await continuation(handler_call_details)  # None of a method that there is not
        if not handler or not handler.response_streaming or handler_call_details.method.startswith(self._discovery):
            return cast("Handler", handler)
        codec = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(self._count(handler.stream_stream), *codec)
        return grpc.unary_stream_rpc_method_handler(self._count(handler.unary_stream), *codec)

    def _count(self, serve: Any) -> Callable[[Any, Context], Awaitable[None]]:
        async def counted(request: Any, context: Context) -> None:
            address = address_of(context)
            if self._is_full(address):
                message = "there are too many calls for health, reflection or status; try again later"
                await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
            self._by_address[address] += 1
            try:
                await serve_to_end(serve, request, context)
            finally:
                self._by_address[address] -= 1
                if not self._by_address[address]:
                    del self._by_address[address]

        return counted

    def _is_full(self, address: str) -> bool:
        most = self._calls_max
        return self._by_address.total() >= most or self._by_address[address] >= max(1, most // PEER_PARTS)


async def serve_to_end(serve: Any, request: Any, context: Context) -> None:
    """Servicers either write themselves, or yield what is to be written."""
    answers = serve(request, context)
    if not inspect.isasyncgen(answers):
        await answers
        return
    async for answer in answers:
        await context.write(answer)


def address_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """The client's address without its port, of gRPC's `ipv4:10.0.0.1:1234` or `ipv6:%5B::1%5D:1234`."""
    return unquote(context.peer()).rpartition(":")[0]
