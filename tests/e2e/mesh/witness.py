"""Backends that say when they saw each request, run as a process: `-m tests.e2e.mesh.witness HOST PORT...`.

Each port is a backend of its own, named by it. The clock is the machine's monotonic one, which all processes share.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic
from typing import Any

import grpc

from tests.e2e.backend import OPTIONS, Context


def handler(name: str) -> Any:
    async def answer(request: bytes, context: Context) -> bytes:
        context.set_trailing_metadata((("backend", name), ("seen", repr(monotonic()))))
        return request

    method = grpc.unary_unary_rpc_method_handler(answer)
    return grpc.method_handlers_generic_handler("e2e.Echo", {"unary": method, "slow": method})


async def serve(host: str, ports: list[str]) -> None:
    servers = []
    for port in ports:
        server = grpc.aio.server(options=OPTIONS)
        server.add_generic_rpc_handlers((handler(port),))
        server.add_insecure_port(f"{host}:{port}")
        await server.start()
        servers.append(server)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2:]))
