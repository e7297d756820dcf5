"""The cluster's side: an installation's webhook configuration and rights in a namespace of the test's own, and pods.

The API server here reaches no Service, so the configuration has the URL of a process in place of its Service; all else
is as `mesh install` has it.
"""

from __future__ import annotations

import base64
import copy
import subprocess
from pathlib import Path
from typing import Any

import yaml

from mesh.contract import INJECT, PROXY_CONTAINER
from mesh.install.builder import build
from mesh.install.values import DEFAULTS
from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import find_program
from tests.cluster.client import Object
from tests.e2e.injector.process import Injector
from tests.e2e.processes import HOST, free_port

RBAC = Path(__file__).parents[3] / "docs" / "rbac" / "injector.yaml"
NAME = "gossamer-injector"
KIND = "MutatingWebhookConfiguration"


def make_pod(name: str = "voter", **metadata: Any) -> Object:
    container = {"name": "app", "image": "none", "ports": [{"name": "grpc", "containerPort": 8001}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }


def has_sidecar(pod: Object) -> bool:
    containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    return any(container["name"] == PROXY_CONTAINER for container in containers)


class Stage:
    """`namespace` is the mesh's own. Without ending, a configuration would disturb the tests of others: `close`."""

    def __init__(self, api: ApiServer, values: dict[str, Any] | None = None, name: str = NAME) -> None:
        self.api, self.client, self.name = api, api.client, name
        self.namespace = api.make_namespace("mesh")
        self.port = free_port()
        self._namespaces = [self.namespace]
        given = {**DEFAULTS, "injector.enabled": True, **(values or {})}
        self._configuration = next(item for item in build(given, self.namespace) if item["kind"] == KIND)
        self._configuration["metadata"]["name"] = name
        self._grant()

    def _grant(self) -> None:
        text = RBAC.read_text().replace(NAME, self.name)
        self.rights = [item for item in yaml.safe_load_all(text) if item["kind"] != "Namespace"]
        for item in self.rights:
            for place in [item["metadata"], *item.get("subjects", [])]:
                if "namespace" in place:
                    place["namespace"] = self.namespace
            self.client.apply(copy.deepcopy(item))
        self.kubeconfig = self.api.write_account_kubeconfig(self.name, self.namespace)

    def grant_all_but(self, *resources: str) -> None:
        """The documented rights, less those to these resources."""
        for item in self.rights:
            if item["kind"] in ("Role", "ClusterRole"):
                rules = [rule for rule in item["rules"] if rule["resources"][0] not in resources]
                self.client.patch(item["kind"], self.name, {"rules": rules}, item["metadata"].get("namespace"))

    def manifest(self) -> Object:
        """The configuration as an installation has it, without caBundle."""
        body = copy.deepcopy(self._configuration)
        for webhook in body["webhooks"]:
            webhook["clientConfig"] = {"url": f"https://{HOST}:{self.port}/mutate"}
        return body

    def configure(self, only: str = "") -> None:
        """`only` is the one namespace whose pods are reviewed, where another stage has the others."""
        body = self.manifest()
        for webhook in body["webhooks"] if only else ():
            name = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [only]}
            webhook["namespaceSelector"]["matchExpressions"].append(name)
        self.client.create(body)

    def start(self, *options: str, port: int | None = None) -> Injector:
        """An injector with the documented rights; the API server calls the one at `self.port`."""
        names = ("--webhook", self.name, "--secret", self.name)
        return Injector(self.kubeconfig, self.namespace, *names, *options, port=self.port if port is None else port)

    def configuration(self) -> Object:
        return self.client.get(KIND, self.name)

    def bundles(self) -> list[str]:
        """PEM texts, one for each webhook; empty where there is none."""
        webhooks = self.configuration()["webhooks"]
        return [base64.b64decode(webhook["clientConfig"].get("caBundle", "")).decode() for webhook in webhooks]

    def secret(self) -> Object:
        return self.client.get("Secret", self.name, self.namespace)

    def events(self, namespace: str) -> list[Object]:
        found = self.client.list("Event", namespace)
        return [event for event in found if event["source"].get("component") == NAME]

    def make_namespace(self, is_meshed: bool = True) -> str:
        name = self.api.make_namespace("meshed" if is_meshed else "plain")
        self._namespaces.append(name)
        if is_meshed:
            self.label(name, "enabled")
        return name

    def make_owner(self, namespace: str) -> Object:
        """A reference to a ReplicaSet that makes no pods itself."""
        labels = {"app": "owner"}
        template = {"metadata": {"labels": labels}, "spec": make_pod()["spec"]}
        made = self.client.create(
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {"name": "owner"},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
            },
            namespace,
        )
        uid = made["metadata"]["uid"]
        return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "owner", "uid": uid, "controller": True}

    def label(self, namespace: str, text: str | None) -> None:
        self.client.patch("Namespace", namespace, {"metadata": {"labels": {INJECT: text}}})

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """The real one; its output, or what it complains of."""
        command = [find_program("kubectl"), f"--kubeconfig={self.api.kubeconfig}", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout if done.returncode == 0 else done.stderr

    def close(self) -> None:
        for kind in (KIND, "ClusterRoleBinding", "ClusterRole"):
            if self.client.find(kind, self.name):
                self.client.delete(kind, self.name)
        for namespace in self._namespaces:
            self.client.delete("Namespace", namespace)
