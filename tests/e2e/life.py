"""What the tests of a sidecar's life share: a sidecar of a mesh, and the `mesh proxy` commands that hooks run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import grpc

from tests.e2e.ads import Ads
from tests.e2e.calls import OPTIONS, Channel
from tests.e2e.processes import HOST, GrpcBackend, Process
from tests.e2e.proxy_process import Proxy

NAME = "voting.emojivoto.svc.cluster.local:8080"
MESH = [sys.executable, "-c", "import sys; from mesh.cli import main; sys.exit(main())"]


@asynccontextmanager
async def sidecar(*backends: GrpcBackend) -> AsyncIterator[Proxy]:
    """A sidecar whose control plane knows `NAME`; the loop goes on meanwhile, since the control plane lives in it."""
    async with Ads() as ads:
        ads.put_service(NAME, *((HOST, backend.port) for backend in backends))
        proxy = Proxy(options=["--control-plane", f"{HOST}:{ads.port}", "--namespace", "emojivoto"])
        await asyncio.to_thread(proxy.__enter__)
        try:
            yield proxy
        finally:
            await asyncio.to_thread(proxy.__exit__, None, None, None)


def call(proxy: Proxy) -> Channel:
    """A new connection of the local application, to `NAME`."""
    return grpc.aio.insecure_channel(proxy.address, options=[*OPTIONS, ("grpc.default_authority", NAME)])


@contextmanager
def mesh(*arguments: str) -> Iterator[Process]:
    """The `mesh` command as a process."""
    with Process([*MESH, *arguments]) as process:
        yield process


def read_all(process: Process) -> str:
    """All of its stdout."""
    assert process.popen.stdout is not None
    return process.popen.stdout.read().decode()
