"""The injector: the webhook that puts the sidecar into pods, what it may do, its Deployment and Service.

The configuration has no caBundle: the injector makes its certificates and writes it, so that no key is ever in a
manifest and applying one again changes nothing. No selector can match a pod of kube-system or of the mesh itself.
"""

from __future__ import annotations

from typing import Final

from injector.options import ADMIN_PORT, NAME, WEBHOOK_PORT
from injector.patch.settings import SYSTEM_NAMESPACES
from mesh.contract import DISABLED, ENABLED, INJECT
from mesh.install.parts import common
from mesh.install.parts.guard import guard
from mesh.install.parts.network import listed, network_policy
from mesh.install.tree import NAMESPACE, Choice, Encoded, Is, Tree, Value, text

COMPONENT: Final = "injector"
PART: Final = "injector"
SETTINGS: Final = "settings.yaml"
FOLDER: Final = "/etc/gossamer/injector"

CLUSTER_RULES: Final[Tree] = [
    {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["mutatingwebhookconfigurations"],
        "resourceNames": [NAME],
        "verbs": ["get", "patch"],
    },
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get"]},
    {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
# RBAC cannot restrict `create` by name: the name comes with the body.
OWN_RULES: Final[Tree] = [
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [NAME], "verbs": ["get", "update"]},
]


def arguments() -> Tree:
    return [
        "injector",
        f"--listen={common.EVERYWHERE}:{WEBHOOK_PORT}",
        f"--admin={common.EVERYWHERE}:{ADMIN_PORT}",
        text("--image=", common.IMAGE),
        text("--image-pull-policy=", Value("image.pullPolicy")),
        text("--cluster-domain=", Value("clusterDomain")),
        f"--config={FOLDER}/{SETTINGS}",
    ]


def settings() -> Tree:
    """Mounted, and read again when it changes: no pod is replaced for it."""
    locked = Choice(Is("locked"), text(',"locked":', Encoded("locked")), "")
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": common.metadata(NAME, COMPONENT),
        "data": {SETTINGS: text('{"defaults":', Encoded("proxy"), locked, "}")},
    }


def injector() -> list[Tree]:
    ports = {"https-webhook": WEBHOOK_PORT, "http-admin": ADMIN_PORT}
    running = common.container(COMPONENT, PART, arguments(), ports, "http-admin")
    return [
        common.service_account(NAME, COMPONENT),
        settings(),
        common.role("ClusterRole", NAME, COMPONENT, CLUSTER_RULES),
        common.binding("ClusterRole", NAME, COMPONENT),
        common.role("Role", NAME, COMPONENT, OWN_RULES),
        common.binding("Role", NAME, COMPONENT),
        common.service(
            NAME,
            COMPONENT,
            [{"name": "https-webhook", "port": 443, "targetPort": "https-webhook", "appProtocol": "https"}],
        ),
        common.deployment(NAME, PART, running, {NAME: FOLDER}),
        common.disruption_budget(NAME, COMPONENT, PART),
        network_policy(
            NAME,
            COMPONENT,
            [*listed("https-webhook", "networkPolicy.webhook"), *listed("http-admin", "networkPolicy.admin")],
        ),
        *guard(COMPONENT),
        webhook_configuration(),
    ]


def webhook_configuration() -> Tree:
    not_ours = {"key": common.NAMESPACE_NAME, "operator": "NotIn", "values": [*sorted(SYSTEM_NAMESPACES), NAMESPACE]}
    asks = {"key": INJECT, "operator": "In", "values": [ENABLED]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": common.metadata(NAME, COMPONENT, is_namespaced=False),
        "webhooks": [
            webhook(
                "namespaces.inject.gossamer.mesh",
                [asks, not_ours],
                [{"key": INJECT, "operator": "NotIn", "values": [DISABLED]}],
            ),
            # Single pods that ask, where the first does not match already.
            webhook(
                "pods.inject.gossamer.mesh",
                [{"key": INJECT, "operator": "NotIn", "values": [ENABLED]}, not_ours],
                [asks],
            ),
        ],
    }


def webhook(name: str, namespaces: list[Tree], pods: list[Tree]) -> Tree:
    return {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {"name": NAME, "namespace": NAMESPACE, "path": "/mutate", "port": 443}},
        "failurePolicy": Value("injector.failurePolicy"),
        "matchPolicy": "Equivalent",
        "namespaceSelector": {"matchExpressions": namespaces},
        "objectSelector": {"matchExpressions": [*pods, ours_not()]},
        "reinvocationPolicy": "IfNeeded",
        "rules": [
            {
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE"],
                "resources": ["pods"],
                "scope": "Namespaced",
            }
        ],
        "sideEffects": "NoneOnDryRun",
        "timeoutSeconds": Value("injector.timeoutSeconds"),
    }


def ours_not() -> Tree:
    """The mesh's own pods, wherever they are: a second installation must not keep the first from starting."""
    return {"key": common.PART_OF, "operator": "NotIn", "values": [common.PRODUCT]}
