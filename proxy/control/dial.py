"""Reaching the control plane: its name is looked up anew each time, and its addresses are tried in random order.

So replicas share the sidecars, and one that is gone costs a moment. Errors of the network become `DialError` here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from time import monotonic

from proxy.control.call import Call
from proxy.control.link import Link
from proxy.net.adapter import describe, tune_socket
from proxy.route.model import Address

CONNECT_TIMEOUT_S = 3.0
_LOOKUP_TIMEOUT_S = 5.0
_USER_TIMEOUT_S = 20.0


class DialError(Exception):
    """Nobody answers there; in words for a person."""


async def dial(address: Address, ca_file: str | None, rng: Callable[[], float], news: Callable[[], None]) -> Link:
    """A connection to one of the addresses, before it has said anything."""
    try:
        context = make_context(ca_file) if ca_file is not None else None
    except OSError as error:
        raise DialError(f"cannot use the CA file {ca_file}: {describe(error)}") from None
    reason = "the name has no address"
    for host in await resolve(address, rng):
        call = Call(str(address), context is not None)
        try:
            return await connect(address, host, Link(call, news, monotonic), context)
        except TimeoutError:
            reason = "it does not answer"
        except (OSError, ValueError) as error:
            reason = describe(error)
    raise DialError(reason)


async def resolve(address: Address, rng: Callable[[], float]) -> list[str]:
    try:
        async with asyncio.timeout(_LOOKUP_TIMEOUT_S):
            found = await asyncio.get_running_loop().getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise DialError("its name is not resolved in time") from None
    except (OSError, ValueError):
        raise DialError("its name does not resolve") from None
    return sorted({str(entry[4][0]) for entry in found}, key=lambda _: rng())


async def connect(address: Address, host: str, link: Link, context: ssl.SSLContext | None) -> Link:
    name = address.host if context is not None else None
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        transport, _ = await asyncio.get_running_loop().create_connection(
            lambda: link, host, address.port, ssl=context, server_hostname=name
        )
    tune_socket(transport.get_extra_info("socket"), _USER_TIMEOUT_S)
    return link


def make_context(ca_file: str) -> ssl.SSLContext:
    """Read anew for each connection, so that a CA that is exchanged on disk needs no restart."""
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2"])
    return context
