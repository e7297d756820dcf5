"""The admin port's pages: probes, metrics, the configuration, and the ways to drain and to end the proxy.

The kubelet and Prometheus ask from outside of the pod; to drain or to end the proxy is for those within it (or on its
host). A web page in a browser there must not do it, or read the configuration, by way of DNS rebinding: a request with
an `Origin` changes nothing, and what is not for everybody wants an address or `localhost` as Host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from mesh.listening import listen
from proxy.admin.connection import AdminConnection
from proxy.admin.guests import Guests
from proxy.admin.http import JSON, Answer, Refusal, Request
from proxy.admin.pace import Pace
from proxy.admin.sharing import Page
from proxy.config.values import ValueProblem, is_ipv4, is_ipv6, parse_address
from proxy.errors import ListenError
from proxy.route.model import Address

if TYPE_CHECKING:
    from proxy.admin.health import ApplicationHealth

# A storm of connects must not make the kernel drop those of a probe, which has a second.
BACKLOG = 1024
STOP_TIMEOUT_S = 1.0
METRICS = "text/plain; version=0.0.4; charset=utf-8"
_PRIVATE = ("/drain", "/shutdown", "/config")


class Admin:
    """What there is to ask, and the connections that ask."""

    def __init__(
        self,
        ready: Callable[[], str],
        metrics: Callable[[], Iterator[bytes]],
        config: Callable[[], object],
        shutdown: Callable[[], None],
        drain: Callable[[], Awaitable[str]],
        health: ApplicationHealth | None = None,
    ) -> None:
        """`ready` returns why the proxy is not, or an empty string; `shutdown` only begins it.

        `drain` returns what has been done once those who call this pod have been told to go elsewhere.
        """
        self._ready = ready
        self._metrics = Page(metrics)
        self._config = Page(lambda: write_config(config))
        self._shutdown = shutdown
        self._drain = drain
        self._health = health
        self.guests: Guests[AdminConnection] = Guests()
        self.pace = Pace()
        self._server: asyncio.Server | None = None
        self._pages: dict[str, tuple[str, Callable[[], Answer | Awaitable[Answer]]]] = {
            "/": ("GET", self._answer_index),
            "/live": ("GET", lambda: Answer(200, "live\n")),
            "/ready": ("GET", self._answer_ready),
            "/metrics": ("GET", lambda: Answer(200, self._metrics.read(), METRICS)),
            "/config": ("GET", lambda: Answer(200, self._config.read(), JSON)),
            "/drain": ("POST", self._answer_drain),
            "/shutdown": ("POST", self._answer_shutdown),
        }

    async def start(self, address: Address) -> Address:
        """Listen; return the address, which has a port where it was 0."""
        try:
            self._server = await listen(lambda: AdminConnection(self), address.host, address.port, BACKLOG)
        except OSError as error:
            raise ListenError(f"the admin address {address}", error) from None
        host, port = self._server.sockets[0].getsockname()[:2]
        return Address(host, port)

    async def stop(self) -> None:
        """Stop to listen; answers that are being sent, as that to `/shutdown`, have a moment to arrive."""
        if self._server is None:
            return
        self._server.close()
        if self._health is not None:
            self._health.stop()
        for connection in self.guests.all():
            connection.end()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.guests.is_empty.wait()
        except TimeoutError:
            for connection in self.guests.all():
                connection.abort()
        await self._server.wait_closed()

    def answer(self, request: Request) -> Answer | Awaitable[Answer]:
        """Answer a request, HEAD as GET."""
        health = self._health
        if health is not None and request.path in health.probes:
            check_method(request, "GET")
            return health.answer(request)
        page = self._pages.get(request.path)
        if page is None:
            raise Refusal(404, "not found; / lists what there is")
        method, make = page
        check_method(request, method)
        if request.path in _PRIVATE:
            check_privacy(request)
        return make()

    def _answer_index(self) -> Answer:
        pages = [(method, path) for path, (method, _) in self._pages.items() if path != "/"]
        pages += [("GET", path) for path in self._health.probes] if self._health is not None else []
        return Answer(200, "".join(f"{method} {path}\n" for method, path in pages))

    def _answer_ready(self) -> Answer:
        reason = self._ready()
        return Answer(503, f"not ready: {reason}\n") if reason else Answer(200, "ready\n")

    async def _answer_drain(self) -> Answer:
        return Answer(200, await self._drain() + "\n")

    def _answer_shutdown(self) -> Answer:
        self._shutdown()
        return Answer(202, "shutting down\n")


def check_method(request: Request, method: str) -> None:
    if request.method != method and not (request.method == "HEAD" and method == "GET"):
        allowed = "GET, HEAD" if method == "GET" else method
        raise Refusal(405, f"{request.path} wants {allowed}", f"allow: {allowed}\r\n")


def check_privacy(request: Request) -> None:
    """What changes the proxy is for its own pod alone; what tells much, and all the more that, not for web pages."""
    if request.method == "POST" and ("origin" in request.headers or "sec-fetch-site" in request.headers):
        raise Refusal(403, "not for web pages")
    if request.method == "POST" and not request.is_own:
        raise Refusal(403, "only from within the pod, or on its host")
    if not is_local_host(request.headers.get("host", "")):
        raise Refusal(403, "not for this Host: ask by IP address, or as localhost")


def is_local_host(host: str) -> bool:
    """Tell whether a Host header is an address or `localhost`: no name that a stranger's DNS could point here."""
    try:
        name = parse_address(host if host.rpartition(":")[2].isdigit() and not host.endswith("]") else f"{host}:1").host
    except ValueProblem:
        return False
    return is_ipv4(name) or is_ipv6(name) or name == "localhost"


def write_config(config: Callable[[], object]) -> Iterator[bytes]:
    yield encode_json(config()).encode()


def encode_json(value: Any) -> str:
    """Write dataclasses, tuples and plain values as JSON."""
    import json  # only where somebody asks

    return json.dumps(value, default=plain, indent=2) + "\n"


def plain(value: Any) -> Any:
    """Turn one dataclass into a mapping, for `json`."""
    if not is_dataclass(value):
        raise TypeError(f"{type(value).__name__} is no part of a configuration")
    return {field.name: getattr(value, field.name) for field in fields(value)}
