"""Keeps the injector's token to what it is for: a ValidatingAdmissionPolicy for its ServiceAccount alone.

It must patch its webhook configuration, to write caBundle, and RBAC knows no fields: without this, who steals the token
could let the API server send every object of the cluster to an address of his own.
"""

from __future__ import annotations

from typing import Final

from injector.options import NAME
from mesh.install.parts import common
from mesh.install.tree import NAMESPACE, If, Is, Tree, text

ENABLED: Final = "injector.admissionPolicy"
ADMISSION: Final = "admissionregistration.k8s.io"
MINIMUM_VERSION: Final = (1, 30)  # Kubernetes'
# What the API server fills in where a manifest says nothing is always there; of the others also that they are.
_ALWAYS: Final = (
    "name",
    "admissionReviewVersions",
    "failurePolicy",
    "matchPolicy",
    "namespaceSelector",
    "objectSelector",
    "reinvocationPolicy",
    "rules",
    "sideEffects",
    "timeoutSeconds",
)
_SOMETIMES: Final = ("matchConditions", "clientConfig.url", "clientConfig.service")


KINDS: Final = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def guard(component: str) -> list[Tree]:
    return [If(Is(ENABLED), policy(component)), If(Is(ENABLED), binding(component))]


def policy(component: str) -> Tree:
    return {
        "apiVersion": f"{ADMISSION}/v1",
        "kind": KINDS[0],
        "metadata": common.metadata(NAME, component, is_namespaced=False),
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": [ADMISSION],
                        "apiVersions": ["*"],
                        "operations": ["*"],
                        "resources": ["mutatingwebhookconfigurations"],
                        "scope": "*",  # the default: kubectl would take it out, and call that a change each time
                    }
                ]
            },
            "matchConditions": [
                {
                    "name": "is-the-injector",
                    "expression": text("request.userInfo.username == 'system:serviceaccount:", NAMESPACE, f":{NAME}'"),
                }
            ],
            "validations": [{"expression": write_rule(), "message": "the injector may write caBundle, and no more"}],
        },
    }


def write_rule() -> str:
    """In CEL: the same number of webhooks, whose names differ, and each as one was before but for caBundle."""
    same = [f"w.{name} == o.{name}" for name in _ALWAYS]
    for name in _SOMETIMES:
        same.append(f"has(w.{name}) == has(o.{name}) && (!has(w.{name}) || w.{name} == o.{name})")
    return (
        "request.operation == 'UPDATE' && has(object.webhooks) && has(oldObject.webhooks) && "
        "object.webhooks.size() == oldObject.webhooks.size() && "
        f"object.webhooks.all(w, oldObject.webhooks.exists(o, {' && '.join(same)}))"
    )


def binding(component: str) -> Tree:
    return {
        "apiVersion": f"{ADMISSION}/v1",
        "kind": KINDS[1],
        "metadata": common.metadata(NAME, component, is_namespaced=False),
        "spec": {"policyName": NAME, "validationActions": ["Deny"]},
    }
