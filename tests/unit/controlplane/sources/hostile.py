"""An HTTP server that answers as a test tells it to: what no real API server can be made to say.

A test sets `on_list` and `on_watch`; each is given the request and the means to answer it byte by byte. What follows
the rules is tested against the real API server (tests/e2e/test_source_kubernetes.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlsplit

LISTS = {"services": "ServiceList", "endpointslices": "EndpointSliceList", "pods": "PodList"}


class Request(NamedTuple):
    kind: str
    params: dict[str, str]
    token: str


class Answer:
    """The way back to one client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def status(self, code: int, body: object = "", headers: str = "") -> None:
        text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        await self.raw(f"HTTP/1.1 {code} Because\r\nContent-Length: {len(text)}\r\n{headers}\r\n".encode() + text)

    async def page(self, kind: str, items: list[Any], version: str = "1", token: str = "") -> None:
        metadata = {"resourceVersion": version, "continue": token}
        await self.status(200, {"kind": LISTS[kind], "metadata": metadata, "items": items})

    async def begin(self) -> None:
        """The head of a watch; chunks follow."""
        await self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def event(self, type_: str, item: dict[str, Any]) -> None:
        await self.chunk(encode_event(type_, item))

    async def end(self) -> None:
        await self.raw(b"0\r\n\r\n")

    async def cut(self) -> None:
        """Close the connection without an end."""
        self._writer.close()

    async def hold(self) -> None:
        """Say nothing until the client goes."""
        await asyncio.Event().wait()


Handler = Callable[[Request, Answer], Awaitable[None]]


def encode_event(type_: str, item: dict[str, Any]) -> bytes:
    return json.dumps({"type": type_, "object": item}).encode() + b"\n"


def service(name: str, version: str = "1", port: object = 80) -> dict[str, Any]:
    metadata = {"namespace": "default", "name": name, "resourceVersion": version}
    return {"kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": port}]}}


async def list_nothing(request: Request, answer: Answer) -> None:
    await answer.page(request.kind, [])


async def watch_nothing(request: Request, answer: Answer) -> None:
    await answer.begin()
    await answer.hold()


class HostileServer:
    """`async with HostileServer() as server:`; pods and slices are empty and quiet unless the handlers see to them."""

    def __init__(self) -> None:
        self.on_list: Handler = list_nothing
        self.on_watch: Handler = watch_nothing
        self.kinds = {"services"}  # those that the handlers answer for
        self.requests: list[Request] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def lists(self) -> list[Request]:
        return [request for request in self.requests if request.kind in self.kinds and "watch" not in request.params]

    def watches(self) -> list[Request]:
        return [request for request in self.requests if request.kind in self.kinds and "watch" in request.params]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                await self._handle(read_request(await reader.readuntil(b"\r\n\r\n")), Answer(writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _handle(self, request: Request, answer: Answer) -> None:
        self.requests.append(request)
        is_ours, is_watch = request.kind in self.kinds, "watch" in request.params
        ours, quiet = (self.on_watch, watch_nothing) if is_watch else (self.on_list, list_nothing)
        await (ours if is_ours else quiet)(request, answer)

    def write_kubeconfig(self, path: Path, user: dict[str, Any] | None = None) -> str:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": user or {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path.write_text(json.dumps(config))
        return str(path)


def read_request(head: bytes) -> Request:
    first, *lines = head.decode().split("\r\n")
    url = urlsplit(first.split(" ")[1])
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    token = headers.get("authorization", "").removeprefix("Bearer ")
    return Request(url.path.rpartition("/")[2], dict(parse_qsl(url.query)), token)
