"""Steady load from inside a pod: `-m tests.e2e.transparent.steady_load RATE HOST POD...`, until SIGTERM.

RATE requests a second of each kind, GET, POST and unary gRPC, begun when they are due and not when others have ended;
and a raw TCP connection to HOST and to each POD, which sends a byte ten times a second and begins anew where it ends.
HTTP/1 is written by hand, or this could not keep up on the machine that runs all the rest too. Where it is late all the
same it halves the rate, and says so. Prints a line of JSON at the end: of each kind who answered how often and what
failed, how late the latest began, and what the raw connections were.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

import grpc

from tests.e2e.transparent.app import ECHO, GRPC, HTTP

_TIMEOUT_S = 20.0
_LATE_S = 1.0
_BODY = b"x" * 1_000


class Wire(asyncio.Protocol):
    """A kept-alive HTTP/1 connection with one request at a time."""

    def __init__(self) -> None:
        self.data = b""
        self.waiting: asyncio.Future[tuple[str, bool]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[tuple[str, bool]]:
        """Who answered, and whether the connection may be used again."""
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.waiting

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if not found or len(body) < int(headers["content-length"]) or self.waiting is None:
            return
        waiting, self.waiting, self.data = self.waiting, None, b""
        if waiting.done():
            return
        if lines[0] == "http/1.1 200 ok":
            waiting.set_result((headers["x-app"], headers.get("connection") != "close"))
        else:
            waiting.set_exception(ConnectionError(f"{lines[0]} {body.decode()!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(ConnectionError(f"lost: {exc}"))


class Web:
    """Connections that are free are used again, the latest first."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.free: list[Wire] = []

    async def ask(self, request: bytes) -> str:
        wire = None
        while self.free and wire is None:
            wire = self.free.pop()
            if wire.transport.is_closing():
                wire = None
        if wire is None:
            _, wire = await asyncio.get_running_loop().create_connection(Wire, self.host, HTTP)
        who, may_stay = await wire.ask(request)
        if may_stay:
            self.free.append(wire)
        else:
            wire.transport.close()
        return who


class Kind:
    def __init__(self, ask: Callable[[], Awaitable[str]]) -> None:
        self.ask = ask
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []

    async def once(self) -> None:
        begun_s = monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                self.answers[await self.ask()] += 1
        except Exception as error:
            what = f"{type(error).__name__}: {error}".replace("\n", " ")
            self.failures.append(f"{what[:300]} (after {monotonic() - begun_s:.3f} s)")


class Pace:
    """When the next round is due. Who cannot keep up gets half of the rate, from now on."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.due_s = monotonic()
        self.latest_s = 0.0
        self.said: list[str] = []

    async def next(self) -> None:
        self.due_s += 1.0 / self.rate
        await asyncio.sleep(max(0.0, self.due_s - monotonic()))
        late_s = monotonic() - self.due_s
        self.latest_s = max(self.latest_s, late_s)
        if late_s > _LATE_S:
            self.said.append(f"{late_s:.1f} s late at {self.rate:g} requests/s of each kind: half of that from now on")
            self.rate /= 2.0
            self.due_s = monotonic()


async def load(kinds: dict[str, Kind], pace: Pace, stop: asyncio.Event) -> None:
    tasks: set[asyncio.Task[None]] = set()
    while not stop.is_set():
        await pace.next()
        for kind in kinds.values():
            task = asyncio.ensure_future(kind.once())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    while tasks:
        await asyncio.wait(tasks)


async def talk(host: str, lives: list[dict[str, Any]], stop: asyncio.Event) -> None:
    """One raw connection after the other; each ends as its backend ends it."""
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        life: dict[str, Any] = {"host": host, "bytes": 0, "end": ""}
        begun_s = monotonic()
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setblocking(False)
            try:
                await loop.sock_connect(sock, (host, ECHO))
                while not stop.is_set():
                    await loop.sock_sendall(sock, b"\x00")
                    if not await loop.sock_recv(sock, 100):
                        life["end"] = "end"
                        break
                    life["bytes"] += 1
                    await asyncio.sleep(0.1)
            except OSError as error:
                life["end"] = type(error).__name__
        life["begun_s"], life["ended_s"] = begun_s, monotonic()
        lives.append(life)
        if not life["bytes"]:
            await asyncio.sleep(0.1)


async def main(rate: float, host: str, *pods: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    web = Web(host)
    get = b"GET / HTTP/1.1\r\nhost: web\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nhost: web\r\ncontent-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
    async with grpc.aio.insecure_channel(f"[{host}]:{GRPC}" if ":" in host else f"{host}:{GRPC}") as channel:
        unary = channel.unary_unary("/e2e.Echo/unary")

        async def call() -> str:
            made = unary(b"x")
            await made
            return str(dict(await made.trailing_metadata())["backend"])

        kinds = {"get": Kind(lambda: web.ask(get)), "post": Kind(lambda: web.ask(post)), "grpc": Kind(call)}
        pace, lives = Pace(rate), list[dict[str, Any]]()
        print("loading", flush=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(load(kinds, pace, stop))
            for address in (host, *pods):
                group.create_task(talk(address, lives, stop))
    found = {name: {"answers": kind.answers, "failures": kind.failures} for name, kind in kinds.items()}
    print(json.dumps({"kinds": found, "raw": lives, "latest_s": pace.latest_s, "said": pace.said}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), *sys.argv[2:]))
