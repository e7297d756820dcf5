"""Who may call the parts, where the cluster's network enforces NetworkPolicies. What is not said is open to everybody.

The kubelet's probes come from the pod's own node, which networks let through whatever a policy says. The API server is
no pod: only the user knows its addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mesh.install.parts import common
from mesh.install.tree import NAMESPACE, If, Is, Not, Tree, Value

ENABLED: Final = "networkPolicy.enabled"


def listed(port: str, key: str) -> list[Tree]:
    """Those whom a value lists may call this port."""
    return [{"ports": [{"port": port}], "from": If(Is(key), Value(key))}]


def meshed(port: str) -> list[Tree]:
    """The pods that may be meshed: of the cluster, or of a single namespace."""
    everywhere = {"matchExpressions": [{"key": common.NAMESPACE_NAME, "operator": "Exists"}]}
    here = {"matchLabels": {common.NAMESPACE_NAME: NAMESPACE}}
    return [
        If(condition, {"ports": [{"port": port}], "from": [{"namespaceSelector": chosen}]})
        for condition, chosen in ((Not(Is("singleNamespace")), everywhere), (Is("singleNamespace"), here))
    ]


def network_policy(name: str, component: str, ingress: Sequence[Tree]) -> If:
    return If(
        Is(ENABLED),
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": common.metadata(name, component),
            "spec": {
                "podSelector": {"matchLabels": common.selector(component)},
                "policyTypes": ["Ingress"],
                "ingress": [*ingress],
            },
        },
    )
