"""Requests to the Kubernetes API: where it is, who we are, and the errors of network and TLS, translated once.

The official client loads the configuration (in-cluster or kubeconfig, exec plugins, token files) and owns the session;
bodies stay bytes. Credentials are loaded anew when the API refuses them or TLS fails, since tokens, certificates and
authorities rotate.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from controlplane.model.fields import printable
from controlplane.sources.source import SourceError
from controlplane.sources.wire import Garbage, decode_refusal
from mesh.version import VERSION

_CHUNK_BYTES = 64 << 10
_ERROR_BYTES = 64 << 10
_LOAD_TIMEOUT_S = 60  # an exec plugin may ask a cloud


class Lost(Exception):
    """The API server cannot be reached, or the connection broke; `is_tls` where it was a matter of trust."""

    def __init__(self, text: str, is_tls: bool = False) -> None:
        super().__init__(text)
        self.is_tls = is_tls


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
            answer = await self._request(client.api, path, params)
            try:
                if answer.status != 200:
                    body = await answer.content.read(_ERROR_BYTES)
                    raise decode_refusal(answer.status, body, answer.headers.get("Retry-After", ""))
                yield b""
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    yield chunk
            finally:
                answer.close()
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            raise _translate(error) from None
        finally:
            client.uses -= 1
            await self._close_unused()

    async def _request(self, api: ApiClient, path: str, params: Mapping[str, str]) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "User-Agent": f"gossamer/{VERSION}"}
        url = f"{api.configuration.host}{path}?{urlencode(params)}"
        await api.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
        answer = await api.rest_client.request(  # type: ignore[no-untyped-call]
            "GET", url, headers=headers, _request_timeout=self._timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _close_unused(self) -> None:
        """Credentials that were replaced serve the requests that began with them, and no more."""
        unused = [client for client in self._clients[:-1] if not client.uses]
        for client in unused:
            self._clients.remove(client)
            await client.api.close()  # type: ignore[no-untyped-call]

    async def _load(self) -> ApiClient:
        configuration = Configuration()
        configuration.client_session_kwargs = {"cookie_jar": aiohttp.DummyCookieJar(), "read_bufsize": _CHUNK_BYTES}
        origin = f"the kubeconfig {self._kubeconfig}" if self._kubeconfig else "the ServiceAccount of this pod"
        try:
            async with asyncio.timeout(_LOAD_TIMEOUT_S):
                await self._configure(configuration)
            return ApiClient(configuration)
        except TimeoutError:
            raise SourceError(f"cannot use {origin}: its exec plugin does not answer; run it by hand") from None
        except Exception as error:  # the client's loader lets through whatever a malformed file leads to
            raise SourceError(f"cannot use {origin}: {printable(_describe(error))}; check it with kubectl") from None

    async def _configure(self, configuration: Configuration) -> None:
        if self._kubeconfig:
            os.stat(self._kubeconfig)  # the loader takes a missing file for an empty one
            await load_kube_config(  # type: ignore[no-untyped-call]
                self._kubeconfig, client_configuration=configuration, persist_config=False
            )
        elif "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        else:
            raise SourceError("this is no pod of Kubernetes; name the cluster with --kubeconfig FILE")


def _translate(error: Exception) -> Lost:
    is_tls = isinstance(error, ssl.SSLError | aiohttp.ClientSSLError)
    return Lost(_describe(error), is_tls)


def _describe(error: Any) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return "the connection was closed in the middle of an answer"
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror is None:
        return "the connection was closed while TLS was agreed"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower() if error.errno and error.errno > 0 else error.strerror
    text = str(error).strip().partition("\n")[0]
    return text or type(error).__name__
