"""The control plane: what it may read (docs/rbac), its Deployment, and the Service that sidecars call."""

from __future__ import annotations

from typing import Final

from mesh.contract import CONTROL_ADMIN_PORT, CONTROL_SERVICE, XDS_PORT
from mesh.install.parts import common
from mesh.install.parts.network import listed, meshed, network_policy
from mesh.install.tree import NAMESPACE, Exceeds, If, Is, Tree, Value, text

COMPONENT: Final = "controlplane"
PART: Final = "controlPlane"
RULES: Final[Tree] = [
    {"apiGroups": [""], "resources": ["services", "pods"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
]


def arguments() -> Tree:
    return [
        "controlplane",
        "--source=kubernetes",
        f"--xds=0.0.0.0:{XDS_PORT}",
        f"--admin={common.EVERYWHERE}:{CONTROL_ADMIN_PORT}",
        text("--cluster-domain=", Value("clusterDomain")),
        If(Is("singleNamespace"), text("--namespace=", NAMESPACE)),
        # Only where there is another replica to go to.
        If(Exceeds(f"{PART}.replicas", 1), "--when-stale=close"),
    ]


def controlplane() -> list[Tree]:
    name = CONTROL_SERVICE
    ports = {"grpc-xds": XDS_PORT, "http-admin": CONTROL_ADMIN_PORT}
    return [
        common.service_account(name, COMPONENT),
        *common.rights(name, COMPONENT, RULES),
        common.service(
            name,
            COMPONENT,
            [
                {"name": "grpc-xds", "port": XDS_PORT, "targetPort": "grpc-xds", "appProtocol": "kubernetes.io/h2c"},
                {"name": "http-admin", "port": CONTROL_ADMIN_PORT, "targetPort": "http-admin", "appProtocol": "http"},
            ],
        ),
        common.deployment(name, PART, common.container(COMPONENT, PART, arguments(), ports, "http-admin")),
        common.disruption_budget(name, COMPONENT, PART),
        network_policy(name, COMPONENT, [*meshed("grpc-xds"), *listed("http-admin", "networkPolicy.admin")]),
    ]
