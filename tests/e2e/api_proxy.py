"""A TCP proxy before the API server that delays, stalls, cuts and garbles: what networks do.

TLS goes through it untouched, so both ends are real; the client checks the certificate under the server's own name.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from random import Random
from typing import Self


class ApiProxy:
    """`async with ApiProxy(host, port) as proxy:`; the fields may be changed at any time.

    `budget_bytes` is after how many bytes from the server a connection is cut; `garble` replaces what comes by noise.
    """

    def __init__(self, host: str, port: int, seed: int = 1) -> None:
        self.upstream = (host, port)
        self.delay_s = 0.0
        self.garble = False
        self.budget_bytes: tuple[int, int] | None = None
        self.connections = 0
        self._open = asyncio.Event()  # clear: bytes wait
        self._open.set()
        self._is_cut = False
        self._rng = Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        await self._end_connections()

    async def cut(self) -> None:
        """Break all connections, and refuse new ones, until `accept` or `restore`."""
        self._is_cut = True
        await self._end_connections()

    def accept(self) -> None:
        self._is_cut = False

    def stall(self) -> None:
        """Hold back all bytes, on connections that stay open, until `resume` or `restore`."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    def silence(self) -> None:
        """Hold back all bytes of the connections that there are, for good; later ones work."""
        self._open.clear()
        self._open = asyncio.Event()
        self._open.set()

    def restore(self) -> None:
        self._is_cut = self.garble = False
        self.delay_s, self.budget_bytes = 0.0, None
        self.resume()

    def write_kubeconfig(self, original: Path, path: Path) -> str:
        """The same as the original, by way of the proxy."""
        config = json.loads(original.read_text())
        cluster = config["clusters"][0]["cluster"]
        cluster["server"] = f"https://127.0.0.1:{self.port}"
        cluster["tls-server-name"] = "kubernetes"
        path.write_text(json.dumps(config))
        return str(path)

    async def _end_connections(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        self.connections += 1
        task = asyncio.create_task(self._join(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        budget = self._rng.randint(*self.budget_bytes) if self.budget_bytes else 1 << 60
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.upstream)
            writers.append(up_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy(reader, up_writer, 1 << 60))
                group.create_task(self._copy(up_reader, writer, budget))
        except (OSError, ExceptionGroup):
            pass
        finally:
            for each in writers:
                each.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget_bytes: int) -> None:
        """Until the end, which ends both directions."""
        is_open = self._open
        while data := await reader.read(16_384):
            await is_open.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            writer.write(self._rng.randbytes(len(data)) if self.garble else data[:budget_bytes])
            await writer.drain()
            budget_bytes -= len(data)
            if budget_bytes <= 0:
                break
        raise ConnectionAbortedError
