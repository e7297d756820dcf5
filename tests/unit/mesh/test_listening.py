from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import pytest

from mesh.listening import EVERYWHERE, listen

LISTEN = """
import asyncio
from mesh.listening import listen
async def main():
    server = await listen(asyncio.Protocol, "::", 0)
    print(server.sockets[0].getsockname()[0])
    server.close()
asyncio.run(main())
"""


class Greeter(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(str(transport.get_extra_info("peername")[0]).encode())
        transport.close()


async def call(host: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    said = await reader.read()
    writer.close()
    await writer.wait_closed()
    return said.decode()


async def test_everywhere_is_both_families_at_one_port() -> None:
    server = await listen(Greeter, EVERYWHERE, 0)
    port = server.sockets[0].getsockname()[1]
    assert await call("127.0.0.1", port) == "::ffff:127.0.0.1"
    assert await call("::1", port) == "::1"
    server.close()


async def test_any_other_address_is_just_that() -> None:
    server = await listen(Greeter, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await call("127.0.0.1", port) == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        await call("::1", port)
    server.close()


async def test_a_port_that_somebody_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            await listen(Greeter, EVERYWHERE, taken.getsockname()[1])


@pytest.mark.parametrize(("launcher", "host"), [([], "::"), (["-m", "tests.e2e.inject.without_ipv6"], "0.0.0.0")])
def test_a_kernel_without_ipv6(launcher: list[str], host: str) -> None:
    command = [sys.executable, *launcher, *([sys.executable] if launcher else []), "-c", LISTEN]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{host}\n"
