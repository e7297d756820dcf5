"""How the Kubernetes API is reached: where it is, who we are, one request, and its failures, translated once.

The official client loads the configuration (in-cluster or kubeconfig, exec plugins, token files) and owns the session.
What is asked, and when credentials are loaded anew, is each part's own.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from mesh.log import escape

# What a request or its answer may raise, for `translate`.
FAILURES: Final = (aiohttp.ClientError, OSError, ConfigException)
_TLS_ERRORS: Final = (ssl.SSLError, aiohttp.ClientSSLError)
_LOAD_TIMEOUT_S: Final = 60.0  # an exec plugin may ask a cloud


class AccessError(Exception):
    """The cluster cannot be asked as it is configured. The message is complete: print it and exit with 2."""


class Lost(Exception):
    """The API server cannot be reached, or the connection broke; `is_tls` where it was a matter of trust."""

    def __init__(self, text: str, is_tls: bool = False) -> None:
        super().__init__(text)
        self.is_tls = is_tls


async def load_client(kubeconfig: str | None, buffer_bytes: int) -> ApiClient:
    """A session with the credentials as they are now, and this much read ahead."""
    configuration = Configuration()
    configuration.client_session_kwargs = {"cookie_jar": aiohttp.DummyCookieJar(), "read_bufsize": buffer_bytes}
    origin = f"the kubeconfig {kubeconfig}" if kubeconfig else "the ServiceAccount of this pod"
    try:
        async with asyncio.timeout(_LOAD_TIMEOUT_S):
            await configure(configuration, kubeconfig)
        return ApiClient(configuration)
    except AccessError:
        raise
    except TimeoutError:
        raise AccessError(f"cannot use {origin}: its exec plugin does not answer; run it by hand") from None
    except Exception as error:  # the client's loader lets through whatever a malformed file leads to
        raise AccessError(f"cannot use {origin}: {escape(describe(error))}; check it with kubectl") from None


async def configure(configuration: Configuration, kubeconfig: str | None) -> None:
    if kubeconfig:
        os.stat(kubeconfig)  # the loader takes a missing file for an empty one
        await load_kube_config(  # type: ignore[no-untyped-call]
            kubeconfig, client_configuration=configuration, persist_config=False
        )
    elif "KUBERNETES_SERVICE_HOST" in os.environ:
        load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    else:
        raise AccessError("this is no pod of Kubernetes; name the cluster with --kubeconfig FILE")


async def send(
    client: ApiClient,
    method: str,
    path: str,
    headers: dict[str, str],
    timeout: aiohttp.ClientTimeout,
    body: object = None,
) -> aiohttp.ClientResponse:
    """The answer once its head is here; the caller reads and closes it. One of FAILURES otherwise."""
    await client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
    answer = await client.rest_client.request(  # type: ignore[no-untyped-call]
        method, f"{client.configuration.host}{path}", headers=headers, body=body, _request_timeout=timeout
    )
    response: aiohttp.ClientResponse = answer.response
    return response


def translate(error: Exception) -> Lost:
    return Lost(escape(describe(error)), isinstance(error, _TLS_ERRORS))


def describe(error: Any) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return "the connection was closed in the middle of an answer"
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.strerror is None:
        return "the connection was closed while TLS was agreed"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        # Names and TLS have numbers of their own; of others asyncio's text says no more than the address.
        if error.errno is None or error.errno <= 0 or isinstance(error, _TLS_ERRORS):
            return error.strerror
        return os.strerror(error.errno).lower()
    text = str(error).strip().partition("\n")[0]
    return text or type(error).__name__
