"""Reading from the Kubernetes API, bodies as bytes.

Credentials are loaded anew when the API refuses them or TLS fails, since tokens, certificates and authorities rotate;
requests that began with the old ones end with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from controlplane.sources.source import SourceError
from controlplane.sources.wire import Garbage, decode_refusal
from mesh.access import FAILURES, AccessError, Lost, load_client, send, translate
from mesh.version import VERSION

_CHUNK_BYTES = 64 << 10
_ERROR_BYTES = 64 << 10
_HEADERS = {"Accept": "application/json", "User-Agent": f"gossamer/{VERSION}"}


class TooLarge(Garbage):
    """More than was asked for came in one answer."""


@dataclass(eq=False, slots=True)
class _Client:
    """A session with its credentials, and how many requests use it."""

    api: ApiClient
    uses: int = 0


class Access:
    """The API that `kubeconfig` names, or that of the cluster we run in."""

    def __init__(self, kubeconfig: str | None, connect_timeout_s: float) -> None:
        self._kubeconfig = kubeconfig
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s)
        self._clients: list[_Client] = []  # the newest last; older ones only for as long as they are used
        self._loading = asyncio.Lock()
        self.generation = 0  # of the credentials

    async def open(self) -> None:
        """Load the configuration; raises SourceError."""
        self._clients.append(_Client(await self._load()))

    async def close(self) -> None:
        while self._clients:
            await self._clients.pop().api.close()  # type: ignore[no-untyped-call]

    @property
    def is_open(self) -> bool:
        return bool(self._clients)

    @property
    def host(self) -> str:
        return str(self._clients[-1].api.configuration.host)

    async def renew(self, generation: int) -> None:
        """Load the credentials anew, unless that was done after this generation. What fails is as if it were lost."""
        async with self._loading:
            if self.generation != generation:
                return
            try:
                newest = _Client(await self._load())
            except SourceError as error:
                raise Lost(str(error)) from None
            self.generation += 1
            self._clients.append(newest)
            await self._close_unused()

    async def fetch(self, path: str, params: Mapping[str, str], max_bytes: int) -> bytes:
        """The body of an answer with status 200; Refusal, TooLarge or Lost otherwise."""
        body = bytearray()
        async with aclosing(self.stream(path, params)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > max_bytes:
                    raise TooLarge(f"more than {max_bytes >> 20} MiB came at once")
        return bytes(body)

    async def stream(self, path: str, params: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The same in chunks as they come, after an empty one that says that the API has agreed."""
        client = self._clients[-1]
        client.uses += 1
        try:
            answer = await send(client.api, "GET", f"{path}?{urlencode(params)}", dict(_HEADERS), self._timeout)
            try:
                if answer.status != 200:
                    body = await answer.content.read(_ERROR_BYTES)
                    raise decode_refusal(answer.status, body, answer.headers.get("Retry-After", ""))
                yield b""
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    yield chunk
            finally:
                answer.close()
        except FAILURES as error:
            raise translate(error) from None
        finally:
            client.uses -= 1
            await self._close_unused()

    async def _close_unused(self) -> None:
        """Credentials that were replaced serve the requests that began with them, and no more."""
        unused = [client for client in self._clients[:-1] if not client.uses]
        for client in unused:
            self._clients.remove(client)
            await client.api.close()  # type: ignore[no-untyped-call]

    async def _load(self) -> ApiClient:
        try:
            return await load_client(self._kubeconfig, _CHUNK_BYTES)
        except AccessError as error:
            raise SourceError(str(error)) from None
