"""The voting application as Kubernetes has it: `docs/voting.yaml`, and what `mesh demo --kubernetes` applies. Pure.

Its containers run from the mesh's own image, which has Python and grpcio. They know nothing of the mesh: another user
than the sidecar's, no setting, no label of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mesh.contract import ENABLED, IMAGE, INJECT
from mesh.demo.application import EMOJI, NAMESPACE, PODS_PER_SERVICE, SERVICES, VOTING, Service
from mesh.version import VERSION

Object = dict[str, Any]

WEB = "web"
SLOW = f"{VOTING.name}-slow"
SERVERS = (EMOJI.name, VOTING.name, SLOW)  # Deployments
PORT = 8080
RATE = 20
_USER = 1000
_POD_NAME = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": _USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True)
class Application:
    """Where it runs, and from which image. `is_meshed` labels its pods for the injector."""

    namespace: str = NAMESPACE
    image: str = f"{IMAGE}:{VERSION}"
    pull_policy: str = "IfNotPresent"
    is_meshed: bool = False

    def servers(self) -> Iterator[Object]:
        """A namespace, and in it two services of three pods each, one of them slow."""
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        for name in SERVICES:
            yield self._service(name)
            yield self._disruption_budget(name)
        yield self._deployment(EMOJI.name, EMOJI.name, PODS_PER_SERVICE, self._replica(EMOJI))
        yield self._deployment(VOTING.name, VOTING.name, PODS_PER_SERVICE - 1, self._replica(VOTING))
        yield self._deployment(SLOW, VOTING.name, 1, self._replica(VOTING, "--slow"))

    def everything(self) -> Iterator[Object]:
        """The servers, and who calls them, for ever."""
        yield from self.servers()
        yield self._deployment(WEB, WEB, 1, self._web(RATE))

    def visitors(self, name: str, rate: float, warm_up_s: float, duration_s: float) -> Object:
        """A pod that calls them for so long."""
        options = (f"--warm-up={warm_up_s:g}", f"--duration={duration_s:g}")
        spec = {"restartPolicy": "Never", "containers": [self._web(rate, *options)]}
        metadata = self._metadata(name, WEB)
        metadata["labels"] |= self._labels()
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def _service(self, name: str) -> Object:
        port = {"name": "grpc", "port": PORT, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"}
        spec = {"selector": {"app": name}, "ports": [port]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": self._metadata(name, name), "spec": spec}

    def _disruption_budget(self, name: str) -> Object:
        """A drain of nodes takes one pod of a service at a time."""
        return {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": self._metadata(name, name),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}},
        }

    def _deployment(self, name: str, app: str, replicas: int, container: Object) -> Object:
        selected = {"app": app, "workload": name}
        template = {"metadata": {"labels": selected | self._labels()}, "spec": {"containers": [container]}}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self._metadata(name, app),
            "spec": {"replicas": replicas, "selector": {"matchLabels": selected}, "template": template},
        }

    def _replica(self, of: Service, *options: str) -> Object:
        return {
            **self._container(of.name, "replica", "--service", of.name, "--pod", "$(POD_NAME)", *options),
            "env": [_POD_NAME],
            "ports": [{"name": "grpc", "containerPort": PORT}],
            "readinessProbe": {"tcpSocket": {"port": "grpc"}, "periodSeconds": 1},
        }

    def _web(self, rate: float, *options: str) -> Object:
        targets = [f"--{name}={name}:{PORT}" for name in SERVICES]
        return self._container(WEB, "web", *targets, f"--rate={rate:g}", *options)

    def _container(self, name: str, module: str, *arguments: str) -> Object:
        return {
            "name": name,
            "image": self.image,
            "imagePullPolicy": self.pull_policy,
            "command": ["python3", "-m", f"mesh.demo.kubernetes.{module}", *arguments],
            "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}},
            "securityContext": _SECURITY,
        }

    def _metadata(self, name: str, app: str) -> Object:
        """All but the namespace has the label `app`: `kubectl apply --selector app` is for who may not make one."""
        return {"name": name, "namespace": self.namespace, "labels": {"app": app}}

    def _labels(self) -> dict[str, str]:
        return {INJECT: ENABLED} if self.is_meshed else {}
