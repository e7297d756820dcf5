"""The web front's sidecar: a real `mesh proxy` with a configuration file, as each meshed pod has one."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mesh.demo.application import SERVICES
from mesh.demo.process import Child, Children

READY_TIMEOUT_S = 15.0
POLL_EVERY_S = 0.05
MESH = ("-c", "import sys; from mesh.cli import main; sys.exit(main())")


def render_config(listen: str, admin: str, endpoints: Mapping[str, Sequence[str]]) -> str:
    """The configuration: one cluster and one route by authority for each service. (JSON is YAML.)"""
    clusters = [{"name": name, "endpoints": list(addresses)} for name, addresses in endpoints.items()]
    routes = [{"match": {"authority": SERVICES[name].authority}, "cluster": name} for name in endpoints]
    return json.dumps({"listen": listen, "admin": admin, "clusters": clusters, "routes": routes}, indent=2)


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


async def start_sidecar(children: Children, directory: Path, endpoints: Mapping[str, Sequence[str]]) -> str:
    """Start the proxy and wait until it is ready; returns the address to dial."""
    listen, admin = free_addresses(2)
    config = directory / "proxy.yaml"
    config.write_text(render_config(listen, admin, endpoints), encoding="utf-8")
    child = children.start("sidecar", [*MESH, "proxy", "--config", str(config)], reports=False)
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
