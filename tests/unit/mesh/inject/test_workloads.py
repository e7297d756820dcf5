from __future__ import annotations

from typing import Any

import pytest

from mesh.inject.workloads import find_pod, identify

POD: dict[str, Any] = {"metadata": {}, "spec": {"containers": []}}


@pytest.mark.parametrize(
    ("version", "kind", "path"),
    [
        ("v1", "Pod", []),
        ("apps/v1", "Deployment", ["spec", "template"]),
        ("extensions/v1beta1", "DaemonSet", ["spec", "template"]),
        ("v1", "ReplicationController", ["spec", "template"]),
        ("batch/v1", "CronJob", ["spec", "jobTemplate", "spec", "template"]),
        ("v1", "PodTemplate", ["template"]),
        ("serving.example.dev/v1", "Deployment", None),
        ("v1", "Job", None),
        ("v1", "Service", None),
    ],
)
def test_where_the_pod_is_described(version: str, kind: str, path: list[str] | None) -> None:
    item: Any = POD
    for name in reversed(path or ["spec", "template"]):
        item = {name: item}
    assert find_pod({"apiVersion": version, "kind": kind} | item) == (None if path is None else tuple(path))


@pytest.mark.parametrize("item", [{}, {"spec": None}, {"spec": {"template": "x"}}, {"spec": []}])
def test_an_object_without_its_pod(item: dict[str, Any]) -> None:
    assert find_pod({"apiVersion": "apps/v1", "kind": "Deployment"} | item) is None


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"kind": "Job", "metadata": {"generateName": "a-"}}, "job/a-"),
        ({"kind": "Job", "metadata": {"name": "a", "namespace": "b"}}, "job/a in b"),
        ({"kind": "Job", "metadata": None}, "job/(no name)"),
        ({}, "object/(no name)"),
    ],
)
def test_what_it_is_called(item: dict[str, Any], name: str) -> None:
    assert str(identify(item)) == name
