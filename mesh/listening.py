"""A port on all addresses of a pod, of which nobody knows the family: the kubelet calls the first of its addresses.

`[::]` takes callers of both families (RFC 4291, 2.5.5.2: those of IPv4 have the address ::ffff:A.B.C.D), and stands for
0.0.0.0 where the kernel has no IPv6. `0.0.0.0` stays what it is.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, Final

EVERYWHERE: Final = "::"
BACKLOG: Final = 100
_NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


async def listen(
    make: Callable[[], asyncio.BaseProtocol], host: str, port: int, backlog: int = BACKLOG, **tls: Any
) -> asyncio.Server:
    """As the loop's `create_server`, also at `EVERYWHERE`."""
    loop = asyncio.get_running_loop()
    if host != EVERYWHERE:
        return await loop.create_server(make, host, port, backlog=backlog, **tls)
    try:
        sock = bind(socket.AF_INET6, host, port)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        sock = bind(socket.AF_INET, "0.0.0.0", port)
    return await loop.create_server(make, sock=sock, backlog=backlog, **tls)


def bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
