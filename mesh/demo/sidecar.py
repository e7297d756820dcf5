"""The mesh of the demo: a real control plane that reads manifests, and the web front's sidecar, as each meshed pod has.

The same chain as on Kubernetes, but for the API server: manifests in a directory take its place.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from mesh.demo.application import NAMESPACE
from mesh.demo.manifests import render
from mesh.demo.process import Child, Children

READY_TIMEOUT_S = 30.0
POLL_EVERY_S = 0.05
MESH = ("-c", "import sys; from mesh.cli import main; sys.exit(main())")


def free_addresses(count: int) -> list[str]:
    """Loopback addresses that nothing listens on; the sockets are held together so that all differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return ["{}:{}".format(*bound.getsockname()) for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()


async def start_mesh(children: Children, directory: Path, services: Mapping[str, Mapping[str, str]]) -> str:
    """Start both and wait until they are ready; returns the sidecar's address, which the front dials.

    `services` goes from a service's name to its pods and their addresses.
    """
    xds, xds_admin, listen, admin = free_addresses(4)
    manifests = directory / "manifests"
    manifests.mkdir()
    (manifests / "application.yaml").write_text(render(services), encoding="utf-8")
    source = ["--source", f"files:{manifests}"]
    child = children.start(
        "control plane", [*MESH, "controlplane", *source, "--xds", xds, "--admin", xds_admin], reports=False
    )
    await _wait_ready(child, xds_admin)
    where = ["--control-plane", xds, "--listen", listen, "--admin", admin, "--namespace", NAMESPACE]
    child = children.start("sidecar", [*MESH, "proxy", *where], reports=False)
    await _wait_ready(child, admin)
    return listen


async def _wait_ready(child: Child, admin: str) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not await _is_ready(admin):
        if child.process.poll() is not None or time.monotonic() > deadline_s:
            raise child.start_failure()
        await asyncio.sleep(POLL_EVERY_S)


async def _is_ready(admin: str) -> bool:
    host, port = admin.split(":")
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(f"GET /ready HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n".encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return b" 200 " in status
