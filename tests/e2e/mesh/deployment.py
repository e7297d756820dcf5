"""Deployments of the cluster's own backend, and the names of their pods."""

from __future__ import annotations

from tests.cluster.client import Object, load_objects, wait_until
from tests.cluster.node import MANIFESTS, Node

SERVICE, PORT = "backend", 8080


def make_deployment(name: str) -> Object:
    """The Deployment of manifests/backend.yaml under a name of its own, which its pods have as their label `app`."""
    found = load_objects(MANIFESTS / "backend.yaml")[0]
    spec, labels = found["spec"], {"app": name}
    template = spec["template"] | {"metadata": {"labels": labels}}
    return found | {
        "metadata": {"name": name},
        "spec": spec | {"selector": {"matchLabels": labels}, "template": template},
    }


def deploy(node: Node, namespace: str) -> None:
    """Two pods behind the Service `backend`, ready."""
    node.client.apply(MANIFESTS / "backend.yaml", namespace)
    node.wait_rollout("backend", namespace)


def scale(node: Node, namespace: str, replicas: int) -> None:
    node.client.patch("Deployment", "backend", {"spec": {"replicas": replicas}}, namespace)
    node.wait_rollout("backend", namespace)


def wait_pods(node: Node, namespace: str, app: str, count: int) -> frozenset[str]:
    """The names of the pods in the namespace, once there are so many, all of this app, and none is ending."""

    def find() -> list[Object]:
        return node.client.list("Pod", namespace)

    def is_settled() -> bool:
        pods = find()
        labels = {pod["metadata"]["labels"].get("app") for pod in pods}
        return (
            len(pods) == count and labels == {app} and all("deletionTimestamp" not in pod["metadata"] for pod in pods)
        )

    wait_until(is_settled, f"{count} pods of {app} and no other in {namespace}")
    return frozenset(pod["metadata"]["name"] for pod in find())
