"""The voting application on the node as a user has it: its pods, what is done to them, and what its visitors saw."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress

from mesh.contract import PROXY_CONTAINER
from mesh.demo.application import FAILING_METHOD, NAMESPACE
from mesh.demo.figures import OK, Call
from mesh.demo.kubernetes.manifests import WEB
from tests.cluster.client import ApiError, Object, wait_until
from tests.cluster.node import Node
from tests.cluster.part import Part

ENOUGH = 100  # calls, in two and a half seconds


class Voting:
    """`log` follows the pod `web`, which makes 40 calls a second from beginning to end."""

    def __init__(self, node: Node, log: Part) -> None:
        self.node, self.log = node, log

    def calls(self) -> list[Call]:
        """All that `web` has reported."""
        found = []
        for line in self.log.log.read_text().splitlines():
            with suppress(ValueError):  # the last line, half written
                found += [Call(*call) for call in json.loads(line).get("calls", ())]
        return found

    def answers_since(self, begun: int) -> Counter[str | None]:
        return Counter(call.pod for call in self.calls()[begun:])

    def wait_answers(self, names: set[str], what: str) -> None:
        """Wait until, from now on, each of these pods answers."""
        begun = len(self.calls())
        wait_until(lambda: names <= self.answers_since(begun).keys(), what)

    def pods(self, app: str) -> dict[str, Object]:
        """Those that are not ending, by name."""
        found = self.node.client.list("Pod", NAMESPACE, labelSelector=f"app={app}")
        return {pod["metadata"]["name"]: pod for pod in found if "deletionTimestamp" not in pod["metadata"]}

    def wait_gone(self, names: set[str]) -> None:
        def is_gone() -> bool:
            left = {pod["metadata"]["name"] for pod in self.node.client.list("Pod", NAMESPACE)}
            return not left & names

        wait_until(is_gone, f"the end of {', '.join(sorted(names))}")

    def kubectl(self, *arguments: str) -> str:
        return self.node.kubectl(*arguments, f"--namespace={NAMESPACE}")

    def wait_rollouts(self, *names: str) -> None:
        for name in names:
            self.node.wait_rollout(name, NAMESPACE)

    def evict(self, name: str) -> None:
        """As a drain does: asked again while the budget forbids it."""
        path = self.node.client.resource("v1/Pod").path(NAMESPACE, name, "eviction")
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": NAMESPACE}}

        def is_evicted() -> bool:
            try:
                self.node.client.request("POST", path, body)
            except ApiError as error:
                if error.status != 429:
                    raise
                return False
            return True

        wait_until(is_evicted, f"the eviction of {name}", every_s=0.25)


def failures(calls: list[Call]) -> list[Call]:
    """Those that the application does not intend."""
    return [call for call in calls if call.code != OK and call.path != FAILING_METHOD]


def has_sidecar(pod: Object) -> bool:
    return PROXY_CONTAINER in [container["name"] for container in pod["spec"].get("initContainers", ())]


def follow_visitors(node: Node) -> Part:
    return node.start_inside(
        "visitors", "kubectl", "logs", "--follow", f"--namespace={NAMESPACE}", f"deployment/{WEB}", f"--container={WEB}"
    )
