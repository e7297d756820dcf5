"""The API server as `mesh check` asks it: each question has an answer or a reason, and never ends the command.

On top of `injector.api.access`, which owns credentials and errors, this hands out the Date header and plain text.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.config import ConfigException

from injector.api.access import JSON, Access, decode, read_message
from mesh.access import Lost, translate
from mesh.check.facts import Object, Unseen

_AT_ONCE: Final = 8
_PAGE: Final = 500
_TIMEOUT: Final = aiohttp.ClientTimeout(total=20, sock_connect=5)


class Answer(NamedTuple):
    status: int
    body: bytes
    date: str


class Api(Access):
    """`open` and `close` as with any Access."""

    def __init__(self, kubeconfig: str | None) -> None:
        super().__init__(kubeconfig)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, path: str, body: object = None) -> Answer:
        """GET, or POST where there is a body; raises Lost."""
        headers = {"Accept": "*/*", "Content-Type": JSON}
        method = "GET" if body is None else "POST"
        async with self._turns:
            try:
                answer = await self._request(self._opened(), method, path, headers, body, _TIMEOUT)
                async with answer:
                    return Answer(answer.status, await answer.read(), answer.headers.get("Date", ""))
            except (aiohttp.ClientError, OSError, ConfigException) as error:
                raise translate(error) from None

    async def find(self, path: str, **query: str) -> Object | Unseen | None:
        """The object; None where there is no such thing."""
        try:
            answer = await self.ask(f"{path}?{urlencode(query)}" if query else path)
            if answer.status == 404:
                return None
            if answer.status >= 300:
                return Unseen(f"{answer.status}: {read_message(answer.body)}")
            return decode(answer.body)
        except Lost as lost:
            return Unseen(f"the API server gave no answer: {lost}")

    async def items(self, path: str, **query: str) -> tuple[Object, ...] | Unseen:
        """All of a list, page by page."""
        found: list[Object] = []
        token = ""
        while True:
            page = await self.find(path, limit=str(_PAGE), **query, **({"continue": token} if token else {}))
            if isinstance(page, Unseen):
                return page
            found += (page or {}).get("items") or []
            token = ((page or {}).get("metadata") or {}).get("continue") or ""
            if not token:
                return tuple(found)

    async def is_allowed(self, attributes: dict[str, str]) -> bool | Unseen:
        """Whether the user may, by SelfSubjectAccessReview."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        try:
            answer = await self.ask("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
            if answer.status >= 300:
                return Unseen(f"{answer.status}: {read_message(answer.body)}")
            status: dict[str, Any] = json.loads(answer.body)["status"]
            return bool(status.get("allowed"))
        except (Lost, ValueError, KeyError, TypeError) as error:
            return Unseen(f"the API server gave no answer: {error}")
