"""The Kubernetes objects of the cluster, as JSON. Pure.

Pods name a ReplicaSet as their owner, as those of a Deployment do: endpoints of one workload share a locality. That
ReplicaSet does not exist; no garbage collector runs here that would mind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.scale.plan import PORT, Plan, Service, name_node, name_zone, pod_address

Object = dict[str, Any]
TARGET_PORT = 8080
TEMPLATE_HASH = "5d4f8c7b9d"
CONTAINERS = [
    {"name": "app", "image": "example/app:1", "ports": [{"containerPort": TARGET_PORT}]},
    {"name": "gossamer-proxy", "image": "example/proxy:1"},
]
ROLLED = "rolled"  # the Deployment, its Service and its namespace


def make_namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def make_service(service: Service) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "namespace": service.namespace},
        "spec": {"ports": [{"name": "grpc", "port": PORT, "targetPort": TARGET_PORT}]},
    }


def make_pod(plan: Plan, service: Service, number: int) -> Object:
    owner = f"{service.name}-{TEMPLATE_HASH}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{owner}-{number:05}",
            "namespace": service.namespace,
            "labels": {"app": service.name, "pod-template-hash": TEMPLATE_HASH},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": owner,
                    "uid": f"00000000-0000-4000-8000-{service.number:012}",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"nodeName": name_node(number % plan.nodes), "containers": CONTAINERS},
    }


def make_pod_status(address: str) -> Object:
    """As a kubelet reports a pod that serves."""
    conditions = [
        {"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    return {
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions},
    }


def make_slice(plan: Plan, service: Service, uids: Sequence[str]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(service),
            "namespace": service.namespace,
            "labels": {
                "kubernetes.io/service-name": service.name,
                "endpointslice.kubernetes.io/managed-by": "benchmark",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": TARGET_PORT, "protocol": "TCP"}],
        "endpoints": make_endpoints(plan, service, uids, None),
    }


def slice_name(service: Service) -> str:
    return f"{service.name}-slice"


def make_endpoints(plan: Plan, service: Service, uids: Sequence[str], missing: int | None) -> list[Object]:
    """All of the service, ready but for the one at `missing`."""
    return [make_endpoint(plan, service, place, uid, place != missing) for place, uid in enumerate(uids)]


def make_endpoint(plan: Plan, service: Service, place: int, uid: str, is_ready: bool) -> Object:
    number = service.first_pod + place
    node = number % plan.nodes
    return {
        "addresses": [pod_address(number)],
        "conditions": {"ready": is_ready, "serving": is_ready, "terminating": False},
        "nodeName": name_node(node),
        "zone": name_zone(plan, node),
        "targetRef": {
            "kind": "Pod",
            "namespace": service.namespace,
            "name": f"{service.name}-{TEMPLATE_HASH}-{number:05}",
            "uid": uid,
        },
    }


def ready_addresses(item: Object) -> set[str]:
    """Of an EndpointSlice, those that may get requests."""
    return {
        endpoint["addresses"][0]
        for endpoint in item.get("endpoints") or []
        if endpoint["conditions"].get("ready") is not False
    }


def make_rolled_service() -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": ROLLED, "namespace": ROLLED},
        "spec": {
            "selector": {"app": ROLLED},
            "ports": [{"name": "grpc", "port": PORT, "targetPort": TARGET_PORT}],
        },
    }


def make_deployment(replicas: int) -> Object:
    labels = {"app": ROLLED}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": ROLLED, "namespace": ROLLED},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": CONTAINERS}},
        },
    }
