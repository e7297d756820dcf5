"""The labels and annotations of all namespaces: listed, then watched, so that a review need not ask for them.

A review must not wait for the API server, which waits for the review. Only what is not known yet is asked for: a
namespace that is so new that the watch has not told of it, and one whose labels contradict that we were called at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from random import Random
from time import monotonic
from typing import Any, Final
from urllib.parse import quote

from injector.api.access import Access, Denied, decode
from injector.problem import Problem
from injector.webhook.judgement import Namespace
from mesh.access import Lost

_PATH: Final = "/api/v1/namespaces"
_KIND: Final = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
_PAGE: Final = 500
_WATCH_S: Final = (300, 600)
_STALL_S: Final = 700.0
_RETRY_S: Final = (0.5, 30.0)
_ASK_S: Final = 2.0  # the API server waits for us meanwhile
NOTHING: Final = Namespace()


class Expired(Exception):
    """The watch cannot go on from the version where it is."""


class Namespaces:
    def __init__(self, access: Access, rng: Random) -> None:
        self.problem = Problem("namespaces are followed again")
        self._access, self._rng = access, rng
        self._known: dict[str, Namespace] = {}

    def __len__(self) -> int:
        return len(self._known)

    async def find(self, name: str, is_fresh: bool = False) -> Namespace:
        """What is known of it; asked for where that is nothing, or where it must be fresh. Raises Denied or Lost."""
        if not is_fresh and (known := self._known.get(name)) is not None:
            return known
        try:
            async with asyncio.timeout(_ASK_S):
                return read(await self._access.get(f"{_PATH}/{quote(name, safe='')}", _KIND.format("")))
        except TimeoutError:
            raise Lost("no answer in time") from None
        except Denied as denied:
            if denied.code == 404:
                return NOTHING
            raise

    async def run(self) -> None:
        """Follow them for ever. A watch that ends goes on; what casts doubt on it leads to a list."""
        version, failures = "", 0
        while True:
            began_s = monotonic()
            try:
                version = version or await self._list()
                version = await self._watch(version)
            except Expired:
                version = ""
            except (Denied, Lost) as error:
                version = ""
                self._tell(error)
            is_steady = monotonic() - began_s > _RETRY_S[1]
            failures = 0 if is_steady else min(failures + 1, 10)
            await asyncio.sleep(min(_RETRY_S[1], _RETRY_S[0] * (1 << failures)) * self._rng.random())

    def _tell(self, error: Denied | Lost) -> None:
        advice = ""
        if isinstance(error, Denied) and error.code == 403:
            advice = "; grant what docs/rbac/injector.yaml has (until then each review asks for its namespace)"
        self.problem.tell(f"cannot follow namespaces at {self._access.host}: {error}{advice}")

    async def _list(self) -> str:
        """Replaces all that is known; the version of the list."""
        found: dict[str, Namespace] = {}
        query = {"limit": str(_PAGE)}
        while True:
            page = await self._access.get(_PATH, _KIND.format("List"), **query)
            items, metadata = page.get("items"), page.get("metadata")
            if not isinstance(items, list) or not isinstance(metadata, dict):
                raise Lost("what came is no list of namespaces")
            found.update({item["metadata"]["name"]: read(item) for item in items})
            if not metadata.get("continue"):
                break
            query["continue"] = metadata["continue"]
        self._known = found
        self.problem.settle()
        return str(metadata["resourceVersion"])

    async def _watch(self, version: str) -> str:
        """Until the API server ends it; the version from which to go on."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(self._rng.randint(*_WATCH_S)),
        }
        try:
            async with (
                asyncio.timeout(_STALL_S),
                aclosing(self._access.stream(_PATH, query, _KIND.format(""))) as lines,
            ):
                async for line in lines:
                    version = self.take(decode(line))
        except TimeoutError:
            raise Expired from None
        except Denied as denied:
            if denied.code == 410:
                raise Expired from None
            raise
        return version

    def take(self, event: Mapping[str, Any]) -> str:
        """Apply an event of the watch; the version from which to go on. Raises Expired."""
        item = event.get("object")
        if event.get("type") == "ERROR" or not isinstance(item, dict):
            raise Expired
        metadata = item["metadata"]
        match event.get("type"):
            case "ADDED" | "MODIFIED":
                self._known[metadata["name"]] = read(item)
            case "DELETED":
                self._known.pop(metadata["name"], None)
        return str(metadata["resourceVersion"])


def read(item: Mapping[str, Any]) -> Namespace:
    """Raises Lost where what came is no namespace."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        raise Lost("what came is no namespace")
    return Namespace(metadata.get("labels") or {}, metadata.get("annotations") or {})
