"""Every backend is replaced, one after the other, under a steady load of each protocol: nothing is lost."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from tests.e2e.transparent.app import GRPC, HTTP
from tests.e2e.transparent.scene import WEB, Scene

# Of each kind, a second. Python's backends and this machine's two cores take no more beside three sidecars.
RATE = 100


def test_all_backends_are_replaced_under_load(scene: Scene) -> None:
    """A POST too: the backends end only after their callers have been told."""
    command = [sys.executable, "-m", "tests.e2e.transparent.load", str(RATE), f"http://{WEB[4]}:{HTTP}/"]
    with scene.client.start([*command, f"{WEB[4]}:{GRPC}"]) as load:
        for name in ("one", "two"):
            scene.restart(name)
        scene.wait_traffic()
        load.signal(signal.SIGTERM)
        assert load.wait(60) == 0, load.stderr
        assert load.popen.stdout is not None
        found: dict[str, Any] = json.loads(load.popen.stdout.read())
    for kind, outcome in found.items():
        assert outcome["failures"] == [], kind
        assert set(outcome["answers"]) == {"one", "two"}, kind
        assert sum(outcome["answers"].values()) > 3 * RATE, kind
