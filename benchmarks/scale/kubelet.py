"""A small scheduler and kubelet: pods are bound, run after a second, and end a second after they are told to."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from benchmarks.scale.manifests import make_pod_status
from benchmarks.scale.watch import Watch
from tests.cluster.api_server import ApiServer
from tests.cluster.client import ApiError

START_S = END_S = 1.0
THREADS = 4


class Kubelet:
    """Serves one namespace until the end of the block."""

    def __init__(self, api: ApiServer, namespace: str, nodes: list[str], addresses: Callable[[int], str]) -> None:
        self._client, self._namespace = api.client, namespace
        self._nodes, self._addresses = nodes, addresses
        self._watch = Watch(api, f"/api/v1/namespaces/{namespace}/pods", self._see)
        self._pool = ThreadPoolExecutor(THREADS)
        self._numbers = itertools.count()
        self._orders = itertools.count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._news = threading.Condition()
        self._begun: set[str] = set()
        self._ended: set[str] = set()
        self._is_over = False
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self._work, daemon=True).start()
        self._watch.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._watch.__exit__()
        with self._news:
            self._is_over = True
            self._news.notify_all()
        self._pool.shutdown(cancel_futures=True)
        if self._failure is not None:
            raise self._failure

    def _see(self, kind: str, pod: dict[str, Any], _came_s: float) -> None:
        metadata = pod["metadata"]
        name, uid = metadata["name"], metadata["uid"]
        if kind == "DELETED":
            return
        if "deletionTimestamp" in metadata:
            if uid not in self._ended:
                self._ended.add(uid)
                self._after(END_S, lambda: self._end(name))
        elif uid not in self._begun:
            self._begun.add(uid)
            number = next(self._numbers)
            self._pool.submit(self._attempt, lambda: self._bind(name, number))
            self._after(START_S, lambda: self._run(name, number))

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        with self._news:
            heapq.heappush(self._due, (time.monotonic() + delay_s, next(self._orders), act))
            self._news.notify_all()

    def _work(self) -> None:
        """Hand out what is due."""
        while True:
            with self._news:
                wait_s = self._due[0][0] - time.monotonic() if self._due else None
                if self._is_over:
                    return
                if wait_s is None or wait_s > 0:
                    self._news.wait(wait_s)
                    continue
                _, _, act = heapq.heappop(self._due)
            self._pool.submit(self._attempt, act)

    def _bind(self, name: str, number: int) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": self._nodes[number % len(self._nodes)]}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        self._client.request("POST", f"/api/v1/namespaces/{self._namespace}/pods/{name}/binding", body)

    def _run(self, name: str, number: int) -> None:
        status = make_pod_status(self._addresses(number))
        self._client.patch("Pod", name, status, self._namespace, subresource="status")

    def _end(self, name: str) -> None:
        self._client.delete("Pod", name, self._namespace, grace_s=0)

    def _attempt(self, act: Callable[[], None]) -> None:
        """A pod may be gone before its time; what else goes wrong is raised at the end of the block."""
        try:
            act()
        except ApiError as error:
            if error.status not in (404, 409):
                self._failure = error
        except Exception as error:  # carried to the thread that waits for us
            self._failure = error
