"""The HTTP/1 server of the honest clients in a pod: `-m tests.abuse.quick_web PORT`; prints a line when it serves.

As cheap as Python makes it, in a process of its own, and with room for all who connect: with a slow one the honest
clients would wait for their application under an attack, as they would without any sidecar.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import uvloop

from tests.e2e.transparent.steady_server import Web

BACKLOG = 4_096


async def serve(port: int) -> None:
    connections: set[Any] = set()
    server = await asyncio.get_running_loop().create_server(lambda: Web("web", connections), port=port, backlog=BACKLOG)
    print("serving", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
