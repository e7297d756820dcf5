"""An application of a pod that is about to end: `-m tests.e2e.transparent.steady_server NAME LINGER_S URL`.

HTTP/1 on 8080, gRPC on 9000 and raw TCP that echoes on 7000, as cheap as Python makes them. SIGTERM ends it: at once,
or after so many seconds in which it serves on and calls URL itself, over a new connection each time. Then it ends as a
server should: HTTP/1 says `Connection: close`, gRPC sends GOAWAY, and what is under way is answered. Prints a line when
it serves, and at its end one of JSON, with what came of its own calls.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import sys
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.transparent.app import ECHO, GRPC, HTTP
from tests.e2e.transparent.steady_grpc import Grpc

_ASK_S = 0.05


class Web(asyncio.Protocol):
    """Answers a request with its name, or with the request's body."""

    def __init__(self, name: str, connections: set[Any]) -> None:
        self.name = name.encode()
        self.connections = connections
        self.data = b""
        self.ends = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.data += data
        while not self.transport.is_closing():
            head, found, rest = self.data.partition(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if not found or len(rest) < size:
                return
            self._answer(rest[:size] or self.name)
            self.data = rest[size:]

    def _answer(self, body: bytes) -> None:
        last = b"connection: close\r\n" if self.ends else b""
        head = b"HTTP/1.1 200 OK\r\nx-app: %b\r\ncontent-length: %d\r\n%b\r\n" % (self.name, len(body), last)
        self.transport.write(head + body)
        if self.ends:
            self.transport.close()

    def end(self) -> None:
        """With the next answer, if that is to come soon."""
        self.ends = True
        if not self.data:
            asyncio.get_running_loop().call_later(_ASK_S, self.transport.close)


async def call_others(url: str, for_s: float) -> list[str]:
    """What an application does before it ends; each is 'ok' or what went wrong."""
    deadline_s, found = monotonic() + for_s, []
    while monotonic() < deadline_s:
        found.append(await asyncio.to_thread(call_other, url))
        await asyncio.sleep(_ASK_S)
    return found


def call_other(url: str) -> str:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return "ok" if status == 200 else str(status)


async def serve(name: str, linger: str, url: str) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, told.set)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    connections: set[Any] = set()
    servers = [
        await loop.create_server(lambda: Web(name, connections), None, HTTP),
        await loop.create_server(lambda: Grpc(name, connections), None, GRPC),
        await asyncio.start_server(echo, None, ECHO),
    ]
    print("serving", flush=True)
    await told.wait()
    calls = await call_others(url, float(linger))
    for listening in servers:
        listening.close()
    for connection in list(connections):
        connection.end()
    while connections:  # noqa: ASYNC110 - each closes by itself
        await asyncio.sleep(0.01)
    print(json.dumps(calls), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]))
