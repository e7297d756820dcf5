"""A watch of the API beside the control plane's own, which says when an event could be known."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from benchmarks.errors import BenchmarkError
from tests.cluster.api_server import ApiServer

Seen = Callable[[str, dict[str, Any], float], None]  # type of the event, the object, when it came


class Watch:
    """From the state of now until the end of the block, on a thread of its own.

    The API server ends a watch that is too slow for it, as on a busy machine: it goes on where it was.
    """

    def __init__(self, api: ApiServer, path: str, seen: Seen) -> None:
        self._path, self._seen = path, seen
        self._version = api.client.request("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
        self._connection = open_connection(api)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_over = False
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Raises what has ended it before its time."""
        self._is_over = True
        socket_ = self._connection.sock
        if socket_ is not None:
            with suppress(OSError):
                socket_.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._is_over:
                self._follow()
        except Exception as error:  # carried to the thread that waits for us
            self._failure = None if self._is_over else error

    def _follow(self) -> None:
        self._connection.close()
        self._connection.request("GET", f"{self._path}?watch=true&resourceVersion={self._version}")
        answer = self._connection.getresponse()
        while line := answer.readline():
            came_s = time.monotonic()
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise BenchmarkError(f"the watch of {self._path} was refused: {event['object'].get('message')}")
            self._version = event["object"]["metadata"]["resourceVersion"]
            self._seen(event["type"], event["object"], came_s)


def open_connection(api: ApiServer) -> http.client.HTTPSConnection:
    """As admin."""
    folder, server = api.authority.folder, urlsplit(api.url)
    context = ssl.create_default_context(cafile=api.authority.ca)
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return http.client.HTTPSConnection(server.hostname or "", server.port, context=context)


class SliceTimes:
    """When each version of each EndpointSlice was seen."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], float] = {}
        self._news = threading.Condition()

    def __call__(self, _type: str, item: dict[str, Any], came_s: float) -> None:
        metadata = item["metadata"]
        with self._news:
            self._times[metadata["name"], metadata["resourceVersion"]] = came_s
            self._news.notify_all()

    def find(self, name: str, version: str, within_s: float = 30.0) -> float:
        with self._news:
            if not self._news.wait_for(lambda: (name, version) in self._times, within_s):
                raise TimeoutError(f"no watch event of {name} at {version} within {within_s:.0f} s")
            return self._times[name, version]
