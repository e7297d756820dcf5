"""Requests to the Kubernetes API: objects read and written, and watched line by line.

Credentials are loaded anew when the API refuses them or TLS fails, since tokens, certificates and authorities rotate.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient

from mesh.access import FAILURES, AccessError, Lost, load_client, send, translate
from mesh.log import escape
from mesh.version import VERSION

JSON: Final = "application/json"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
_CONNECT_TIMEOUT_S: Final = 5.0
_ANSWER_TIMEOUT_S: Final = 20.0
_BODY_BYTES: Final = 32 << 20
_LINE_BYTES: Final = 4 << 20  # of a watch; etcd takes objects of 1.5 MiB, which JSON can double
_TEXT_CHARS: Final = 300


class Denied(Exception):
    """The API's own answer that it will not or cannot: `code` as in HTTP."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}" if text else str(code))
        self.code = code


class Access:
    """The API that `kubeconfig` names, or that of the cluster we run in."""

    def __init__(self, kubeconfig: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._client: ApiClient | None = None
        self._loading = asyncio.Lock()

    async def open(self) -> None:
        """Load the configuration; raises AccessError."""
        self._client = await load_client(self._kubeconfig, _LINE_BYTES // 2)

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]

    @property
    def host(self) -> str:
        return str(self._opened().configuration.host)

    async def get(self, path: str, accept: str = JSON, **query: str) -> dict[str, Any]:
        return await self.call("GET", f"{path}?{urlencode(query)}" if query else path, accept=accept)

    async def call(
        self, method: str, path: str, body: object = None, content_type: str = JSON, accept: str = JSON
    ) -> dict[str, Any]:
        """The object in the answer; raises Denied or Lost. Asked once more where credentials may be out of date."""
        client = self._opened()
        try:
            return await self._call(client, method, path, body, content_type, accept)
        except Denied as denied:
            if denied.code != 401:
                raise
        except Lost as lost:
            if not lost.is_tls:
                raise
        return await self._call(await self._renew(client), method, path, body, content_type, accept)

    async def _call(
        self, client: ApiClient, method: str, path: str, body: object, content_type: str, accept: str
    ) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_TIMEOUT_S, sock_connect=_CONNECT_TIMEOUT_S)
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            answer = await self._request(client, method, path, headers, body, timeout)
            async with answer:
                data = await answer.content.read(_BODY_BYTES) if answer.status >= 300 else await answer.read()
                if answer.status >= 300:
                    raise Denied(answer.status, read_message(data))
        except FAILURES as error:
            raise translate(error) from None
        return decode(data)

    async def stream(self, path: str, query: Mapping[str, str], accept: str) -> AsyncGenerator[bytes, None]:
        """The lines of a watch as they come; raises Denied or Lost."""
        client = self._opened()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S)
        try:
            url = f"{path}?{urlencode(query)}"
            async with await self._request(client, "GET", url, {"Accept": accept}, None, timeout) as answer:
                if answer.status != 200:
                    denied = Denied(answer.status, read_message(await answer.content.read(_LINE_BYTES)))
                    if denied.code == 401:
                        await self._renew(client)
                    raise denied
                async for line in answer.content:
                    yield line
        except ValueError:  # aiohttp's, for a line beyond its buffer
            raise Lost(f"a line longer than {_LINE_BYTES >> 20} MiB") from None
        except FAILURES as error:
            raise translate(error) from None

    async def _request(
        self,
        client: ApiClient,
        method: str,
        path: str,
        headers: dict[str, str],
        body: object,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers["User-Agent"] = f"gossamer-injector/{VERSION}"
        return await send(client, method, path, headers, timeout, body)

    def _opened(self) -> ApiClient:
        if self._client is None:
            raise RuntimeError("the access to the API is not open")
        return self._client

    async def _renew(self, stale: ApiClient) -> ApiClient:
        """Load the credentials anew, unless another request has done so. What uses the old ones is cut off, and asks
        again."""
        async with self._loading:
            if self._client is stale:
                try:
                    self._client = await load_client(self._kubeconfig, _LINE_BYTES // 2)
                except AccessError as error:
                    raise Lost(str(error)) from None
                await stale.close()  # type: ignore[no-untyped-call]
        return self._opened()


def decode(data: bytes) -> dict[str, Any]:
    """Nothing that answers is trusted to be the API server."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise Lost("what came is no JSON") from None
    if not isinstance(value, dict):
        raise Lost("what came is no JSON object")
    return value


def read_message(data: bytes) -> str:
    """The text of a Status object, or whatever came instead; short, and on one line."""
    try:
        text = str(decode(data).get("message") or "")
    except Lost:
        text = data.decode("utf-8", "replace").strip()
    return escape(text if len(text) <= _TEXT_CHARS else text[:_TEXT_CHARS] + "...")
