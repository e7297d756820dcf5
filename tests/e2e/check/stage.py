"""An installation as it is when all is well, on an API server without nodes.

What a kubelet and the injector would write is written here, so that each test can break one thing and mend it again.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from injector.certificate.pair import Pair, make_pair
from injector.certificate.store import OURS, Store
from injector.patch import Place, Settings, inject
from mesh.contract import IMAGE, INJECT, PROXY_CONTAINER
from mesh.version import VERSION
from tests.cluster.api_server import ApiServer
from tests.cluster.client import Object, wait_until
from tests.e2e.install.tool import User

NAME = "gossamer-injector"
WEBHOOK = "MutatingWebhookConfiguration"
PARTS = ("gossamer-controlplane", NAME)
HOOKS = ("namespaces.inject.gossamer.mesh", "pods.inject.gossamer.mesh")
DAY_S = 86_400.0
# The API server calls no pod at such an address, and says so at once.
ADDRESS = "127.0.0.1"
Verdicts = dict[str, str]


def make_pod(name: str, image: str | None = f"{IMAGE}:{VERSION}") -> Object:
    """A pod of the Service `voting`, with the sidecar of this image; None for one without."""
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "voting"}},
        "spec": {"containers": [{"name": "app", "image": "none"}]},
    }
    if image is None:
        return pod
    return inject(pod, Place(is_asked=True), Settings(defaults={"proxy-image": image})).after


def make_workload(kind: str, name: str, **labels: str) -> Object:
    """One pod of a Service that is not there; the template has these labels, and not the object itself."""
    template = {"metadata": {"labels": {"app": name, **labels}}, "spec": make_pod(name, image=None)["spec"]}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def make_service(name: str, app: str = "voting", **metadata: Any) -> Object:
    spec = {"selector": {"app": app}, "ports": [{"name": "grpc", "port": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, **metadata}, "spec": spec}


class Stage:
    """`shop` is a meshed namespace with a meshed pod; `name` is that of the installation's own."""

    def __init__(self, api: ApiServer, name: str = "gossamer") -> None:
        self.api, self.client, self.name, self.admin = api, api.client, name, User(api)
        self.admin.kubectl("apply", "--filename=-", text=self.admin.mesh("install", "--namespace", name))
        self.certify(self.make_pair())
        self.shop = self.mesh_namespace(make_pod("voting"))
        self.client.create(make_service("voting"), self.shop)
        for part in PARTS:
            wait_until(lambda part=part: self.pods(part), f"pods of {part}")  # type: ignore[misc]
            for pod in self.pods(part):
                self.report(pod["metadata"]["name"], name)
        wait_until(self.is_available, "both Deployments to be available")

    def pods(self, part: str, namespace: str = "") -> list[Object]:
        component = part.removeprefix("gossamer-")
        return self.client.list("Pod", namespace or self.name, labelSelector=f"app.kubernetes.io/component={component}")

    def is_available(self) -> bool:
        found = [self.client.get("Deployment", part, self.name)["status"] for part in PARTS]
        return all(status.get("availableReplicas") == 1 for status in found)

    def report(self, name: str, namespace: str, state: Object | None = None) -> None:
        """As the kubelet does: the sidecar, or our part, is ready, or in this state."""
        spec = self.client.get("Pod", name, namespace)["spec"]
        native = [item["name"] for item in spec.get("initContainers", []) if item["name"] == PROXY_CONTAINER]
        own = [item["name"] for item in spec["containers"]]

        def status(container: str) -> Object:
            running = state or {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
            ready = {"name": container, "ready": state is None, "restartCount": 0, "image": "", "imageID": ""}
            return {**ready, "state": running, "started": state is None}

        body = {
            "phase": "Running",
            "podIP": ADDRESS,
            "podIPs": [{"ip": ADDRESS}],
            "conditions": [{"type": "Ready", "status": str(state is None)}],
            "initContainerStatuses": [status(container) for container in native],
            "containerStatuses": [status(container) for container in own],
        }
        self.client.patch("Pod", name, {"status": body}, namespace, subresource="status")

    def mesh_namespace(self, *pods: Object) -> str:
        """A namespace with these pods, ready; labelled after they are made, so that nobody asks a webhook."""
        namespace = self.api.make_namespace("shop")
        for pod in pods:
            self.client.create(pod, namespace)
            self.report(pod["metadata"]["name"], namespace)
        self.label(namespace, **{INJECT: "enabled"})
        return namespace

    def label(self, namespace: str, **labels: str | None) -> None:
        self.client.patch("Namespace", namespace, {"metadata": {"labels": labels}})

    # The injector's work

    def make_pair(self, age_s: float = 0, lifetime_s: float = 90 * DAY_S) -> Pair:
        made = datetime.fromtimestamp(datetime.now(UTC).timestamp() - age_s, UTC)
        return make_pair([f"{NAME}.{self.name}.svc"], made, lifetime_s)

    def certify(self, pair: Pair) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": NAME, "labels": {OURS: "webhook"}},
            "data": Store(pair).encode(),
        }
        self.client.apply(secret, self.name)
        self.write_bundle(pair.authority)

    def write_bundle(self, authority: str) -> None:
        bundle = base64.b64encode(authority.encode()).decode()
        self.change_webhooks(clientConfig={"caBundle": bundle or None})

    def change_webhooks(self, **fields: Any) -> None:
        hooks = [{"name": name, **fields} for name in HOOKS]
        self.admin.kubectl("patch", "mutatingwebhookconfiguration", NAME, "--patch", json.dumps({"webhooks": hooks}))

    def change_record(self, **data: str | None) -> None:
        self.client.patch("ConfigMap", "gossamer-config", {"data": data}, self.name)

    # What mesh check says

    def check(self, *options: str, user: User | None = None) -> dict[str, Object]:
        done = (user or self.admin).call("check", "--namespace", self.name, "-o", "json", *options)
        assert done.stdout, done.stderr
        answer = json.loads(done.stdout)
        failed = [line for line in answer["checks"] if line["verdict"] == "failed"]
        assert (done.returncode, answer["success"]) == (int(bool(failed)), not failed)
        return {line["name"]: line for line in answer["checks"]}


def find_wrong(lines: dict[str, Object]) -> Verdicts:
    return {name: line["verdict"] for name, line in lines.items() if line["verdict"] not in ("ok", "skipped")}


@contextmanager
def removed(stage: Stage, kind: str, name: str, namespace: str | None = None) -> Iterator[None]:
    """Without this object, which is made again as it was."""
    before = stage.client.get(kind, name, namespace)
    stage.client.delete(kind, name, namespace)
    try:
        yield
    finally:
        for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"):
            before["metadata"].pop(field, None)
        stage.client.create(before, namespace)


@contextmanager
def passing(stage: Stage, name: str) -> Iterator[str]:
    """A namespace that ends afterwards, with all that is in it: from then on it is not looked at."""
    namespace = stage.api.make_namespace(name)
    try:
        yield namespace
    finally:
        stage.client.delete("Namespace", namespace)
