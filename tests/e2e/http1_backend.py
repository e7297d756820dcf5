"""An HTTP/1.1 server of the end-to-end tests: aiohttp, as an application would use it.

    python http1_backend.py --name a [--port 0]

`/` answers with the name, `/echo` with what it is sent (trickled on if `?slow`), `/stream?size=N` with so many bytes in
chunks, `/socket` echoes over a WebSocket, `/close` says `Connection: close`, `/sleep?s=N` takes its time.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

from aiohttp import WSMsgType, web


async def tell(request: web.Request) -> web.Response:
    body = await request.read()
    return web.Response(text=f"{request.app['name']} {request.method} {request.path_qs} {len(body)}")


async def echo(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    if "length" in request.query and request.content_length is not None:
        response.content_length = request.content_length
    await response.prepare(request)
    async for piece in request.content.iter_any():
        await response.write(piece)
    await response.write_eof()
    return response


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    left = int(request.query["size"])
    while left:
        size = min(left, 65_536)
        await response.write(b"x" * size)
        left -= size
    await response.write_eof()
    return response


async def socket(request: web.Request) -> web.WebSocketResponse:
    response = web.WebSocketResponse()
    await response.prepare(request)
    async for message in response:
        if message.type == WSMsgType.TEXT:
            await response.send_str(f"{request.app['name']} {message.data}")
        elif message.type == WSMsgType.BINARY:
            await response.send_bytes(message.data)
    return response


async def close(request: web.Request) -> web.Response:
    return web.Response(text="bye", headers={"Connection": "close"})


async def sleep(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.query["s"]))
    return web.Response(text="awake")


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    app = web.Application(client_max_size=2**30)
    app["name"] = arguments.name
    app.router.add_route("*", "/echo", echo)
    app.router.add_get("/stream", stream)
    app.router.add_get("/socket", socket)
    app.router.add_get("/close", close)
    app.router.add_get("/sleep", sleep)
    app.router.add_route("*", "/{rest:.*}", tell)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", arguments.port, reuse_address=True)
    await site.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(runner.addresses[0][1], flush=True)
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
