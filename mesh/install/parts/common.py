"""What all parts of an installation have in common: labels, and pods that `restricted` admits and that spread."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mesh.contract import DISABLED, INJECT, PROXY_UID
from mesh.install.tree import NAMESPACE, Both, Choice, Equals, Exceeds, If, Is, Not, Tree, Value, either, text
from mesh.version import VERSION

PART_OF: Final = "app.kubernetes.io/part-of"
INSTANCE: Final = "app.kubernetes.io/instance"
COMPONENT: Final = "app.kubernetes.io/component"
PRODUCT: Final = "gossamer"
RBAC: Final = "rbac.authorization.k8s.io"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"  # a label that the API server itself sets
EVERYWHERE: Final = "[::]"  # of both families: the cluster's may be either
IMAGE: Final = Choice(
    Is("image.digest"),
    text(Value("image.name"), "@", Value("image.digest")),
    text(Value("image.name"), ":", Value("image.tag", VERSION)),
)
_CLUSTER_WIDE: Final = Not(Is("singleNamespace"))


def labels(component: str) -> Tree:
    """`instance` is the namespace of the installation: what is cluster-wide is known by it."""
    return {
        "app.kubernetes.io/name": PRODUCT,
        COMPONENT: component,
        INSTANCE: NAMESPACE,
        PART_OF: PRODUCT,
        "app.kubernetes.io/version": VERSION,
    }


def selector(component: str) -> Tree:
    """What of the labels may never change, since a Deployment's selector may not."""
    return {"app.kubernetes.io/name": PRODUCT, COMPONENT: component}


def metadata(name: str, component: str, is_namespaced: bool = True) -> Tree:
    place = {"namespace": NAMESPACE} if is_namespaced else {}
    return {"name": name, **place, "labels": labels(component)}


def service_account(name: str, component: str) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(name, component),
        "automountServiceAccountToken": False,
    }


def role(kind: str, name: str, component: str, rules: Tree) -> Tree:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": metadata(name, component, is_namespaced=kind == "Role"),
        "rules": rules,
    }


def binding(kind: str, name: str, component: str) -> Tree:
    """Binds the role of this name to the ServiceAccount of this name."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": f"{kind}Binding",
        "metadata": metadata(name, component, is_namespaced=kind == "Role"),
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    }


def rights(name: str, component: str, rules: Tree) -> list[Tree]:
    """The same rules cluster-wide, or in a single namespace."""
    return [
        If(_CLUSTER_WIDE, role("ClusterRole", name, component, rules)),
        If(_CLUSTER_WIDE, binding("ClusterRole", name, component)),
        If(Is("singleNamespace"), role("Role", name, component, rules)),
        If(Is("singleNamespace"), binding("Role", name, component)),
    ]


def resources(part: str) -> Tree:
    def side(name: str) -> If:
        keys = {resource: f"{part}.resources.{name}.{resource}" for resource in ("cpu", "memory")}
        return If(
            either(*map(Is, keys.values())), {resource: If(Is(key), Value(key)) for resource, key in keys.items()}
        )

    sides = {name: side(name) for name in ("requests", "limits")}
    return If(either(*(condition for found in sides.values() for condition in [found.condition])), sides)


def container(name: str, part: str, arguments: Tree, ports: dict[str, int], probe_port: str) -> Tree:
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": Value("image.pullPolicy"),
        "args": arguments,
        "env": [
            {"name": "GOSSAMER_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "GOSSAMER_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "ports": [{"name": port, "containerPort": number, "protocol": "TCP"} for port, number in ports.items()],
        "livenessProbe": {
            "httpGet": {"path": "/live", "port": probe_port},
            "initialDelaySeconds": 10,
            "timeoutSeconds": 5,
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": probe_port}, "periodSeconds": 3, "timeoutSeconds": 3},
        "resources": resources(part),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }


def deployment(name: str, part: str, running: Tree, mounted: Mapping[str, str] = MappingProxyType({})) -> Tree:
    """`part` is the group of its values, `running` its container, `mounted` are ConfigMaps by name, and where."""
    mounts = [{"name": source, "mountPath": path, "readOnly": True} for source, path in mounted.items()]
    running = {**running, **({"volumeMounts": mounts} if mounts else {})}
    replicas = f"{part}.replicas"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, running["name"]),
        "spec": {
            "replicas": Value(replicas),
            "selector": {"matchLabels": selector(running["name"])},
            # Where replicas must be on different nodes, one more than those may find none.
            "strategy": {
                "rollingUpdate": {
                    "maxSurge": Choice(_one_for_each_node(replicas), 0, 1),
                    "maxUnavailable": Choice(Exceeds(replicas, 1), 1, 0),
                },
                "type": "RollingUpdate",
            },
            "template": {
                "metadata": {
                    "annotations": If(Is("podAnnotations"), Value("podAnnotations")),
                    "labels": {**labels(running["name"]), INJECT: DISABLED},
                },
                "spec": {**pod(name, running, replicas), **volumes(mounted)},
            },
        },
    }


def _one_for_each_node(replicas: str) -> Both:
    return Both(Equals("antiAffinity", "required"), Exceeds(replicas, 1))


def pod(account: str, running: Tree, replicas: str) -> Tree:
    chosen = {"matchLabels": selector(running["name"])}
    apart = {"labelSelector": chosen, "topologyKey": "kubernetes.io/hostname"}
    return {
        "serviceAccountName": account,
        "automountServiceAccountToken": True,
        "imagePullSecrets": If(Is("image.pullSecrets"), Value("image.pullSecrets")),
        "priorityClassName": If(Is("priorityClassName"), Value("priorityClassName")),
        "nodeSelector": If(Is("nodeSelector"), Value("nodeSelector")),
        "tolerations": If(Is("tolerations"), Value("tolerations")),
        "affinity": If(
            _one_for_each_node(replicas),
            {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        ),
        "topologySpreadConstraints": [
            {"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": chosen}
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "securityContext": {
            "runAsGroup": PROXY_UID,
            "runAsNonRoot": True,
            "runAsUser": PROXY_UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [running],
    }


def volumes(mounted: Mapping[str, str]) -> Tree:
    return {"volumes": [{"name": name, "configMap": {"name": name}} for name in mounted]} if mounted else {}


def disruption_budget(name: str, component: str, part: str) -> If:
    return If(
        Both(Is("podDisruptionBudget"), Exceeds(f"{part}.replicas", 1)),
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(name, component),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector(component)}},
        },
    )


def service(name: str, component: str, ports: list[Tree]) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, component),
        "spec": {"selector": selector(component), "ports": ports},
    }
