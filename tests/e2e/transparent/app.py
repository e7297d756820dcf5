"""An application that knows of no mesh, run in a pod: `-m tests.e2e.transparent.app NAME CERTIFICATE KEY`.

HTTP/1 and WebSocket on 8080, gRPC on 9000, raw TCP that echoes on 7000, the same over TLS on 8443, and SMTP, whose
server speaks first, on 2525; on all addresses of IPv4 and IPv6. Each says its name. Prints a line when it serves;
SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from typing import Any

import grpc
from aiohttp import WSMsgType, web
from aiosmtpd.smtp import SMTP

from tests.e2e.backend import OPTIONS, Context

HTTP, GRPC, ECHO, TLS, MAIL = 8080, 9000, 7000, 8443, 2525


def make_web(name: str) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {"x-app": name, "x-host": request.headers.get("host", "")}
        return web.Response(body=body or name.encode(), headers=headers)

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(f"{name}: {message.data}")
        return socket

    application = web.Application()
    application.add_routes([web.get("/ws", talk), web.route("*", "/{path:.*}", answer)])
    return application


def make_grpc(name: str) -> Any:
    async def answer(request: bytes, context: Context) -> bytes:
        context.set_trailing_metadata((("backend", name),))
        return request

    handler = grpc.unary_unary_rpc_method_handler(answer)
    return grpc.method_handlers_generic_handler("e2e.Echo", {"unary": handler})


class Mailbox:
    """Takes every mail."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 taken"


async def serve(name: str, certificate: str, key: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write(name.encode())
        writer.close()

    runner = web.AppRunner(make_web(name), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=HTTP).start()
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((make_grpc(name),))
    server.add_insecure_port(f"[::]:{GRPC}")
    await server.start()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    servers = [
        await asyncio.start_server(echo, None, ECHO),
        await asyncio.start_server(echo, None, TLS, ssl=tls),
        await asyncio.get_running_loop().create_server(lambda: SMTP(Mailbox(), hostname=name), None, MAIL),
    ]
    print("serving", flush=True)
    await stop.wait()
    for listening in servers:
        listening.close()
    await server.stop(5)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
