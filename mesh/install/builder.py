"""All objects of an installation: one tree of them (`COMPONENTS`), and what it comes to with given values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from mesh.install.parts.controlplane import controlplane
from mesh.install.parts.injector import injector
from mesh.install.parts.place import namespace, record
from mesh.install.text import dump
from mesh.install.tree import Both, Condition, If, Is, Not, Tree, Values, evaluate

Object = dict[str, Any]

# What others refer to comes first; the webhook last, when there is somebody to answer it.
ORDER: Final = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ConfigMap",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "NetworkPolicy",
    "Service",
    "Deployment",
    "PodDisruptionBudget",
    "MutatingWebhookConfiguration",
)


class Component(NamedTuple):
    """A part that may be left out, and a file of the chart."""

    name: str
    make: Callable[[], list[Tree]]
    condition: Condition | None = None

    def objects(self) -> list[Tree]:
        """Its objects, each under all that it depends on."""
        return [place_under(self.condition, item) for item in self.make()]


def place_under(condition: Condition | None, item: Tree) -> Tree:
    if condition is None:
        return item
    return If(Both(condition, item.condition), item.then) if isinstance(item, If) else If(condition, item)


COMPONENTS: Final = (
    Component("namespace", namespace),
    Component("record", record),
    Component("controlplane", controlplane),
    Component("injector", injector, Both(Is("injector.enabled"), Not(Is("singleNamespace")))),
)


def build(values: Values, namespace: str) -> list[Object]:
    """The objects, in the order in which they are to be applied."""
    tree = [item for component in COMPONENTS for item in component.objects()]
    return sorted(evaluate(tree, values, namespace), key=rank)


def rank(item: Object) -> tuple[int, str]:
    return ORDER.index(item["kind"]), item["metadata"]["name"]


def write(objects: Iterable[Object]) -> str:
    """The objects as YAML, the same bytes each time."""
    return "".join(f"---\n{dump(item)}" for item in objects)
