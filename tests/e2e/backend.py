"""A grpcio server for the end-to-end tests, run as a process: `backend.py --name a --port 0`; prints its port.

Messages are raw bytes, arguments are JSON, so that no generated code is needed. Every answer names the backend in its
trailers. SIGTERM stops it gracefully (GOAWAY, open calls finish).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_metadata_size", 64 * 1024),
    ("grpc.absolute_max_metadata_size", 128 * 1024),
    ("grpc.so_reuseport", 0),
]
Context = grpc.aio.ServicerContext[Any, Any]


class Echo:
    """The methods; each is named after what a test wants to see."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled: dict[str, asyncio.Event] = {}

    def _cancelled(self, key: str) -> asyncio.Event:
        return self.cancelled.setdefault(key, asyncio.Event())

    async def _begin(self, context: Context) -> None:
        """Echo metadata whose name begins with `e2e-` at the start, and again as trailers, with our name."""
        echoed = [(k, v) for k, v in context.invocation_metadata() or () if k.startswith("e2e-")]
        context.set_trailing_metadata(
            (
                *((f"{k.removesuffix('-bin')}-end{'-bin' * k.endswith('-bin')}", v) for k, v in echoed),
                ("backend", self.name),
            )
        )
        await context.send_initial_metadata(tuple(echoed))

    async def unary(self, request: bytes, context: Context) -> bytes:
        await self._begin(context)
        return request

    async def slow(self, request: bytes, context: Context) -> bytes:
        """Answer after as many milliseconds as the request says."""
        await asyncio.sleep(int(request) / 1000)
        context.set_trailing_metadata((("backend", self.name),))
        return request

    async def compressed(self, request: bytes, context: Context) -> bytes:
        context.set_compression(grpc.Compression.Gzip)
        await self._begin(context)
        return request

    async def collect(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        """The number of messages and bytes that came until the client's half-close."""
        await self._begin(context)
        sizes = [len(request) async for request in requests]
        return json.dumps([len(sizes), sum(sizes)]).encode()

    async def expand(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        """`[count, size]`: that many messages of that size, each beginning with its number."""
        await self._begin(context)
        count, size = json.loads(request)
        for number in range(count):
            yield b"%08d" % number + bytes(size - 8)

    async def chat(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        await self._begin(context)
        async for request in requests:
            yield request

    async def early_answer(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        """Answer the first message and return, whatever the client is still sending."""
        await self._begin(context)
        async for request in requests:
            return request
        return b""

    async def early_failure(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        """Answer the first message, then fail in the middle of both streams."""
        await self._begin(context)
        async for request in requests:
            yield request
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "enough")

    async def fail(self, request: bytes, context: Context) -> bytes:
        """`[code, message]`: fail with that, before anything was sent (trailers-only)."""
        code, message = json.loads(request)
        await context.abort(next(c for c in grpc.StatusCode if c.value[0] == code), message)

    async def detailed_failure(self, request: bytes, context: Context) -> bytes:
        """Fail with a rich status in grpc-status-details-bin, as large as the request says."""
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.DebugInfo(detail="d" * int(request), stack_entries=[self.name]))
        status = status_pb2.Status(code=grpc.StatusCode.ABORTED.value[0], message="naïve\n100 %", details=[detail])
        rich = rpc_status.to_status(status)
        await context.abort(rich.code, rich.details, rich.trailing_metadata)

    async def wait(self, request: bytes, context: Context) -> bytes:
        """Never answer, and remember under the key in the request that the call has ended."""
        context.add_done_callback(lambda _: self._cancelled(request.decode()).set())
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async def wait_stream(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        """The same, after one message."""
        context.add_done_callback(lambda _: self._cancelled(request.decode()).set())
        yield request
        await asyncio.get_running_loop().create_future()

    async def saw_cancel(self, request: bytes, context: Context) -> bytes:
        """Return once the call with that key was cancelled."""
        await self._cancelled(request.decode()).wait()
        return request

    async def time_left(self, request: bytes, context: Context) -> bytes:
        return json.dumps(context.time_remaining()).encode()


def handlers(echo: Echo) -> Any:
    """Path -> method, by the kind of each."""

    def of(make: Callable[..., Any], *methods: Callable[..., Any]) -> dict[str, Any]:
        return {method.__name__: make(method) for method in methods}

    table: dict[str, Any] = {
        **of(
            grpc.unary_unary_rpc_method_handler,
            echo.unary,
            echo.slow,
            echo.compressed,
            echo.fail,
            echo.detailed_failure,
            echo.wait,
            echo.saw_cancel,
            echo.time_left,
        ),
        **of(grpc.stream_unary_rpc_method_handler, echo.collect, echo.early_answer),
        **of(grpc.unary_stream_rpc_method_handler, echo.expand, echo.wait_stream),
        **of(grpc.stream_stream_rpc_method_handler, echo.chat, echo.early_failure),
    }
    return grpc.method_handlers_generic_handler("e2e.Echo", table)


async def serve(name: str, port: int, options: dict[str, int]) -> None:
    given = [(f"grpc.{option}", value) for option, value in options.items() if value]
    server = grpc.aio.server(options=[*OPTIONS, *given])
    server.add_generic_rpc_handlers((handlers(Echo(name)),))
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(bound, flush=True)
    await stop.wait()
    await server.stop(grace=10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--max_concurrent_streams", type=int)
    parser.add_argument("--max_connection_age_ms", type=int)
    arguments = vars(parser.parse_args())
    asyncio.run(serve(arguments.pop("name"), arguments.pop("port"), arguments))


if __name__ == "__main__":
    main()
