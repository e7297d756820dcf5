"""Names of endpoints and their addresses: looked up beside the traffic, which never waits for an answer.

Each name has a lookup of its own, so a slow one holds up no other; what cannot be resolved keeps its last addresses.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable

from proxy.net.log import log, log_bug


class Names:
    """`want` says which; `changed` is called after each answer that is news."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.changed = changed
        self.refresh_s = 5.0
        # A name that is wanted and not in here has not been answered yet; one without addresses does not resolve.
        self.resolved: dict[str, tuple[str, ...]] = {}
        self._wanted: frozenset[str] = frozenset()
        self._lookups: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Event()

    def want(self, hosts: set[str], refresh_s: float) -> None:
        """These from now on; the answers to others are forgotten. Those that are new are looked up at once."""
        self._wanted = frozenset(host for host in hosts if not is_address(host))
        self.resolved = {name: found for name, found in self.resolved.items() if name in self._wanted}
        self.refresh_s = refresh_s
        self._news.set()

    def all_answered(self) -> bool:
        return len(self.resolved) == len(self._wanted)

    def addresses(self, host: str) -> tuple[str, ...] | None:
        """None while there was no answer yet."""
        found = self.resolved.get(host)
        return (host,) if found is None and host not in self._wanted else found

    async def refresh(self) -> None:
        """Look up again and again, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self.refresh_s):
                    await self._news.wait()
            except TimeoutError:
                self._start(self._wanted)
            else:
                self._news.clear()
                self._start(self._wanted - self.resolved.keys())

    def _start(self, names: frozenset[str]) -> None:
        for name in names - self._lookups.keys():
            self._lookups[name] = asyncio.create_task(self._look_up(name))

    async def _look_up(self, name: str) -> None:
        try:
            self._answered(name, await resolve(name))
        except Exception as bug:
            log_bug(f"looking up {name}", bug)
        finally:
            self._lookups.pop(name, None)

    def _answered(self, name: str, found: tuple[str, ...]) -> None:
        before = self.resolved.get(name)
        if name not in self._wanted or (before is not None and (not found or found == before)):
            return
        if not found:
            log(f"endpoint {name}: the name does not resolve; tried again every {self.refresh_s:g} s")
        self.resolved[name] = found
        self.changed()


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(name: str) -> tuple[str, ...]:
    """The addresses of a name, sorted; none where it does not resolve."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(sorted({str(entry[4][0]) for entry in found}))
