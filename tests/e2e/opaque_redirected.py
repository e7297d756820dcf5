"""Run by a test in a network namespace of its own (`unshare --net`): redirects, connects, prints what the acceptor saw.

A line of JSON per connection: where the client wanted to go, and the original destination that `read_original` found.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess

import uvloop

from proxy.metrics.connections import ConnectionCounts
from proxy.metrics.registry import Registry
from proxy.net.accept import Acceptor
from proxy.relay.opaque import Address

PORT = 4140
SETUP = (
    "ip link set lo up",
    "ip addr add 10.9.9.1/32 dev lo",
    "ip -6 addr add fd00::9/128 dev lo nodad",
    "ip route add 10.0.0.0/8 dev lo",
    "ip -6 route add fd00::/16 dev lo",
    f"iptables -w -t nat -A OUTPUT -p tcp -d 10.0.0.0/8 -j REDIRECT --to-ports {PORT}",
    f"ip6tables -w -t nat -A OUTPUT -p tcp -d fd00::/16 -j REDIRECT --to-ports {PORT}",
)
WANTED = (("10.1.2.3", 80), ("fd00::5", 443), ("127.0.0.1", PORT), ("::1", PORT), ("10.9.9.1", PORT))


async def main() -> None:
    arrived: asyncio.Queue[Address | None] = asyncio.Queue()

    def arrive(sock: socket.socket, original: Address | None) -> None:
        arrived.put_nowait(original)
        sock.close()

    acceptor = Acceptor("outbound", arrive, ConnectionCounts(Registry()), 20.0)
    for host in ("0.0.0.0", "::"):
        acceptor.listen(host, PORT)
    for wanted in WANTED:
        await asyncio.to_thread(lambda wanted=wanted: socket.create_connection(wanted, 10).close())
        original = await asyncio.wait_for(arrived.get(), 10)
        print(json.dumps({"wanted": wanted, "original": original}), flush=True)
    await acceptor.close()


if __name__ == "__main__":
    for command in SETUP:
        subprocess.run(command.split(), check=True)
    uvloop.run(main())
