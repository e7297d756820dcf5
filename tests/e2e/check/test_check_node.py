"""What only real pods can tell: `mesh check` of an installation that runs on a node, by a user of one namespace."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.client import Object, wait_until
from tests.cluster.mesh_image import NAME, load
from tests.cluster.node import MANIFESTS, Node
from tests.e2e.check.stage import find_wrong
from tests.e2e.install.tool import PROGRAM

pytestmark = pytest.mark.timeout(1200)  # the first time, an image is built
REFUSAL = Path(__file__).with_name("refusal.py")
PLANE = "gossamer-controlplane"


class Alone(NamedTuple):
    """An installation for one namespace, with the backends of `manifests/backend.yaml` in it."""

    node: Node
    namespace: str

    @property
    def address(self) -> str:
        return f"{PLANE}.{self.namespace}.svc.cluster.local:4150"

    def mesh(self, *arguments: str | Path, text: str | None = None) -> str:
        return self.node.run(sys.executable, "-c", PROGRAM, *arguments, text=text)

    def apply(self, manifests: str) -> None:
        self.node.kubectl("apply", f"--namespace={self.namespace}", "--filename=-", text=manifests)

    def inject(self, manifest: str, control_plane: str) -> None:
        options = ("--control-plane", control_plane, "--set", "proxy-image-pull-policy=Never")
        self.apply(self.mesh("inject", "--manual", *options, "-", text=manifest))

    def check(self, *options: str) -> dict[str, Object]:
        """Its exit code must be 0: where lines are to fail, `find_failures`."""
        answer = self.mesh("check", "--namespace", self.namespace, "-o", "json", *options)
        return {line["name"]: line for line in json.loads(answer)["checks"]}

    def find_failures(self) -> str:
        """What it says where its exit code is 1; otherwise nothing."""
        try:
            self.mesh("check", "--namespace", self.namespace, "-o", "short")
        except RuntimeError as error:
            return str(error)
        return ""


@pytest.fixture(scope="module")
def alone(node: Node) -> Iterator[Alone]:
    load(node)
    found = Alone(node, node.api.make_namespace("checked"))
    options = ("--single-namespace", "--set", "image.pullPolicy=Never")
    found.apply(found.mesh("install", "--namespace", found.namespace, *options))
    found.inject((MANIFESTS / "backend.yaml").read_text(), found.address)
    for name in (PLANE, "backend"):
        node.wait_rollout(name, found.namespace, within_s=120)
    yield found
    node.client.delete("Namespace", found.namespace)


def test_all_is_well_and_the_control_plane_is_asked(alone: Alone) -> None:
    lines = alone.check("--wait", "50s")
    assert find_wrong(lines) == {}
    assert {lines[name]["verdict"] for name in ("control-plane", "connected", "refused", "sidecar-ready")} == {"ok"}


def test_connected(alone: Alone) -> None:
    """A sidecar that finds no control plane is ready all the same, after some time, and has some more to find it."""
    container = {"name": "app", "image": NAME, "imagePullPolicy": "Never", "command": ["sleep", "600"]}
    spec = {"containers": [container | {"securityContext": {"runAsUser": 1000}}], "terminationGracePeriodSeconds": 1}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lost"}, "spec": spec}
    alone.inject(json.dumps(pod), "127.0.0.1:9")

    def is_ready() -> bool:
        conditions = alone.node.client.get("Pod", "lost", alone.namespace)["status"].get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    wait_until(is_ready, "the pod to be ready")
    wait_until(alone.find_failures, "its time to be over", every_s=2.0)
    said = alone.find_failures()
    (cause,) = [line for line in said.splitlines() if "cause:" in line]
    assert "the control plane has no stream of " in cause
    assert f"{alone.namespace}/lost" in cause
    assert "see:   docs/checks.md#connected" in said
    alone.node.client.delete("Pod", "lost", alone.namespace)
    wait_until(lambda: alone.node.client.find("Pod", "lost", alone.namespace) is None, "its end")


def test_refused(alone: Alone) -> None:
    """The last test here: the control plane tells it for as long as it lives."""
    service = alone.node.client.get("Service", PLANE, alone.namespace)["spec"]["clusterIP"]
    target = f"backend.{alone.namespace}.svc.cluster.local:8080"
    alone.node.run(sys.executable, REFUSAL, f"{service}:4150", "choosy.shop", target)
    lines = alone.check()
    assert find_wrong(lines) == {"refused": "warning"}
    assert f"choosy.shop refused {target}: not to my taste" in lines["refused"]["cause"]
    assert lines["refused"]["cure"]
    assert lines["refused"]["link"] == "docs/checks.md#refused"
