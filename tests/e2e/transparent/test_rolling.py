"""Every backend is replaced, one after the other, under load: nothing is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.processes import eventually
from tests.e2e.transparent.app import GRPC, HTTP
from tests.e2e.transparent.scene import WEB, Scene, ask, call

CALLS = 200


class Load:
    """Requests one after the other until it is told to stop: who answered, and what went wrong."""

    def __init__(self, scene: Scene, protocol: str) -> None:
        self.scene, self.protocol = scene, protocol
        self.answers: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers.update(self._ask())
            except Exception as error:
                self.failures.append(f"{time.monotonic():.3f}: {error!r}")

    def _ask(self) -> list[str]:
        if self.protocol == "grpc":
            return call(self.scene.client, f"{WEB[4]}:{GRPC}", CALLS)
        status, text, _ = ask(self.scene.client, WEB[4], HTTP)
        assert status == 200, text
        return [text]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def loads(scene: Scene) -> Iterator[list[Load]]:
    running = [Load(scene, "grpc"), Load(scene, "http")]
    yield running
    for load in running:
        load.stop()


def test_all_backends_are_replaced(scene: Scene, loads: list[Load]) -> None:
    for name in ("one", "two"):
        eventually(lambda: all(set(load.answers) == {"one", "two"} for load in loads), "answers of both", 60)
        scene.restart(name)
        for load in loads:
            load.answers.clear()
    eventually(lambda: all(set(load.answers) == {"one", "two"} for load in loads), "answers of both", 60)
    for load in loads:
        load.stop()
        assert load.failures == [], load.protocol
