"""Pods to inject, and what is read from the outcome."""

from __future__ import annotations

from typing import Any

import yaml

from injector.patch import Outcome, Place, Settings, inject
from mesh.contract import OUR_ANNOTATIONS

Fields = dict[str, Any]
ASKED = Place(namespace="shop", is_asked=True)


def make_pod(text: str = "", **options: str) -> Fields:
    """A pod with one container and what `text` (YAML) puts in its place; `options` become annotations."""
    pod: Fields = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    for member, fields in (yaml.safe_load(text) or {}).items():
        pod[member] = {**pod[member], **fields}
    if options:
        ours = {f"{OUR_ANNOTATIONS}{name.replace('_', '-')}": value for name, value in options.items()}
        pod["metadata"]["annotations"] = pod["metadata"].get("annotations", {}) | ours
    return pod


def mesh(pod: Fields, place: Place = ASKED, settings: Settings | None = None) -> Outcome:
    return inject(pod, place, settings or Settings())


def find(outcome: Outcome, name: str) -> Fields:
    """A container of the pod after injection."""
    spec = outcome.after["spec"]
    return next(item for item in [*spec.get("initContainers", ()), *spec["containers"]] if item["name"] == name)


def names(outcome: Outcome, member: str) -> list[str]:
    return [item["name"] for item in outcome.after["spec"].get(member, ())]


def environment(container: Fields) -> dict[str, str]:
    """What is said outright, not by reference to the pod."""
    return {item["name"]: item.get("value", "") for item in container["env"] if "valueFrom" not in item}
