"""Facts of an installation where all is well, and pods, Services and namespaces to put into it."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from injector.certificate.pair import Pair, make_pair
from injector.certificate.store import OURS, Store
from injector.patch import Place, Settings, inject
from mesh.check.catalogue import ALL, run
from mesh.check.facts import Asked, Facts, Object, Scope
from mesh.check.line import Line
from mesh.contract import ENABLED, IMAGE, INJECT
from mesh.install.builder import build
from mesh.install.cluster import Record
from mesh.install.parts.guard import KINDS
from mesh.install.values import complete
from mesh.version import VERSION

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOME = "gossamer"
DAY_S = 86_400.0
READY = [{"type": "Ready", "status": "True"}]


def make_namespace(name: str = "shop", level: str = "", **annotations: str) -> Object:
    labels = {INJECT: ENABLED} | ({"pod-security.kubernetes.io/enforce": level} if level else {})
    return {"metadata": {"name": name, "labels": labels, "annotations": annotations}}


def make_pod(name: str = "voting", meshed: bool = True, annotations: Object | None = None, **spec: Any) -> Object:
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "voting"}, "annotations": annotations or {}}
    pod: Object = {"metadata": metadata, "spec": {"containers": [{"name": "app"}], **spec}}
    if meshed:
        pod = inject(pod, Place(is_asked=True), Settings(defaults={"proxy-image": f"{IMAGE}:{VERSION}"})).after
    status = {"name": "gossamer-proxy", "ready": True, "state": {"running": {}}}
    return {**pod, "status": {"phase": "Running", "conditions": READY, "initContainerStatuses": [status]}}


def make_part(component: str, available: int = 1, wanted: int = 1) -> Object:
    metadata = {"name": f"gossamer-{component}", "labels": {"app.kubernetes.io/component": component}}
    return {"metadata": metadata, "spec": {"replicas": wanted}, "status": {"availableReplicas": available}}


def make_own_pod(component: str, node: str = "one", version: str = VERSION, **status: Any) -> Object:
    labels = {"app.kubernetes.io/component": component, "app.kubernetes.io/version": version}
    metadata = {"name": f"{component}-{node}", "namespace": HOME, "labels": labels}
    found = {"phase": "Running", "conditions": READY, **status}
    return {"metadata": metadata, "spec": {"nodeName": node, "containers": [{"name": component}]}, "status": found}


def make_own_service(component: str, **selector: str) -> Object:
    wanted = selector or {"app.kubernetes.io/component": component}
    return {"metadata": {"name": f"gossamer-{component}", "namespace": HOME}, "spec": {"selector": wanted}}


def make_maker(kind: str = "ReplicaSet", spec: Object | None = None, **status: Any) -> Object:
    """A workload without pods, in the namespace shop, whose template is that of `make_pod`."""
    template = make_pod(meshed=False)
    given = {"replicas": 1, "template": {"metadata": {}, "spec": template["spec"]}, **(spec or {})}
    return {
        "kind": kind,
        "metadata": {"name": "voting", "namespace": "shop", "uid": kind},
        "spec": given,
        "status": status,
    }


def make_event(kind: str, message: str, when: str = "2025-12-31T23:45:00Z") -> Object:
    return {"involvedObject": {"uid": kind}, "message": message, "lastTimestamp": when, "metadata": {}}


def make_service(annotations: Object | None = None, **port: Any) -> Object:
    ports = [{"port": 8080, "name": "grpc", **port}]
    metadata = {"name": "voting", "namespace": "shop", "annotations": annotations or {}}
    return {"metadata": metadata, "spec": {"selector": {"app": "voting"}, "ports": ports}}


def make_guard() -> tuple[Object, ...]:
    return tuple(item for item in build(complete({}), HOME) if item["kind"] in KINDS)


def make_webhook(*authorities: str, **fields: Any) -> Object:
    kind = "MutatingWebhookConfiguration"
    found = next(item for item in build(complete({}), HOME) if item["kind"] == kind)
    found["metadata"]["resourceVersion"] = "1"
    bundle = base64.b64encode("".join(authorities).encode()).decode()
    for webhook in found["webhooks"]:
        webhook |= fields
        webhook["clientConfig"] = {**webhook["clientConfig"], "caBundle": bundle}
    return found


def make_secret(pair: Pair | None) -> Object:
    return {"metadata": {"labels": {OURS: "webhook"}}, "data": Store(pair).encode()}


PAIR = make_pair(["gossamer-injector.gossamer.svc"], NOW, 90 * DAY_S)
WELL = Facts(
    Asked(HOME),
    NOW,
    version=(1, 35),
    ahead_s=0.0,
    denied=(),
    elsewhere="",
    namespace={"metadata": {"name": HOME}},
    record=Record(VERSION, {}, ""),
    deployments=(make_part("controlplane"), make_part("injector")),
    own_pods=(make_own_pod("controlplane"), make_own_pod("injector")),
    own_services=(make_own_service("controlplane"), make_own_service("injector")),
    budgets=(),
    webhook=make_webhook(PAIR.authority),
    guard=make_guard(),
    secret=make_secret(PAIR),
    scope=Scope({"shop": make_namespace()}, (make_pod(),), (make_service(),)),
    pages={"controlplane-one": {"streams": [{"node": "voting.shop"}], "nacks": []}},
)


def record(version: str = VERSION, release: str = "", **values: Any) -> Record:
    """Values by dotted names, with `_` for the dot."""
    return Record(version, {name.replace("_", "."): value for name, value in values.items()}, release)


def scope(*pods: Object, namespace: Object | None = None, services: tuple[Object, ...] = (), **more: Any) -> Scope:
    return Scope({"shop": namespace or make_namespace()}, pods, services, **more)


def judge(**changes: Any) -> dict[str, Line]:
    """All lines, where this is different from what is well."""
    return {line.check.name: line for line in run(ALL, replace(WELL, **changes))}
