"""Which objects make pods, and where in them the pod is described."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

Fields = dict[str, Any]

_TEMPLATE = ("spec", "template")
_APPS = ("apps", "extensions")
# By kind: the API groups that have it, and the way to its pod.
_KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Pod": (("",), ()),
    "Deployment": (_APPS, _TEMPLATE),
    "ReplicaSet": (_APPS, _TEMPLATE),
    "StatefulSet": (_APPS, _TEMPLATE),
    "DaemonSet": (_APPS, _TEMPLATE),
    "ReplicationController": (("",), _TEMPLATE),
    "Job": (("batch",), _TEMPLATE),
    "CronJob": (("batch",), ("spec", "jobTemplate", *_TEMPLATE)),
    "PodTemplate": (("",), ("template",)),
}


class Identity(NamedTuple):
    """What an object is called."""

    kind: str
    name: str
    namespace: str

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name or '(no name)'}" + (f" in {self.namespace}" if self.namespace else "")


def identify(item: Fields) -> Identity:
    metadata = item.get("metadata")
    fields = metadata if isinstance(metadata, dict) else {}
    name = fields.get("name") or fields.get("generateName")
    return Identity(str(item.get("kind") or "object"), str(name or ""), str(fields.get("namespace") or ""))


def find_pod(item: Fields) -> tuple[str, ...] | None:
    """The way to the pod within an object of any kind; None if it makes none."""
    groups, path = _KINDS.get(str(item.get("kind")), ((), ()))
    group = str(item.get("apiVersion", "")).rpartition("/")[0]
    if group not in groups:
        return None
    pod: Any = item
    for name in path:
        pod = pod.get(name) if isinstance(pod, dict) else None
    return path if isinstance(pod, dict) else None


def find_maker(item: Fields) -> str:
    """What made the object, and makes it anew, as a Deployment does with its ReplicaSets; nothing if a user did."""
    metadata = item.get("metadata")
    owners = metadata.get("ownerReferences") if isinstance(metadata, dict) else None
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, dict) and owner.get("controller") is True:
            return f"{str(owner.get('kind')).lower()}/{owner.get('name')}"
    return ""


def is_namespace(item: Fields) -> bool:
    return item.get("kind") == "Namespace" and item.get("apiVersion") == "v1"


def change_at(item: Fields, path: tuple[str, ...], change: Callable[[Fields], Fields]) -> Fields:
    """The object with what lies at the path changed; itself if that is."""
    if not path:
        return change(item)
    before = item[path[0]]
    after = change_at(before, path[1:], change)
    return item if after is before else {**item, path[0]: after}
