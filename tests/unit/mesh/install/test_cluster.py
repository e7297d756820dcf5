"""What is read out of a cluster's answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh.install.builder import ORDER
from mesh.install.cluster import (
    PLACES,
    ClusterError,
    Record,
    Remains,
    locate,
    make_path,
    read_record,
    read_version,
)


@pytest.mark.parametrize(("minor", "found"), [("35", (1, 35)), ("29+", (1, 29)), ("30-gke", (1, 30))])
def test_versions_of_clouds_are_read(minor: str, found: tuple[int, int]) -> None:
    assert read_version({"major": "1", "minor": minor}) == found


@pytest.mark.parametrize("answer", [{}, {"major": "1", "minor": ""}, {"major": "x", "minor": "1"}])
def test_what_has_no_version_is_no_cluster(answer: dict[str, Any]) -> None:
    with pytest.raises(ClusterError, match="is it Kubernetes"):
        read_version(answer)


def test_a_record_is_read_whoever_wrote_it() -> None:
    data = {"version": "0.1.0", "values.controlPlane.replicas": "3", "values.image.tag": '"a"', "other": "x"}
    found = {"metadata": {"annotations": {"meta.helm.sh/release-name": "mesh-1"}}, "data": data}
    assert read_record(found) == Record("0.1.0", {"controlPlane.replicas": 3, "image.tag": "a"}, "mesh-1")
    assert read_record({"metadata": {}}) == Record("", {}, "")


def test_a_record_that_was_broken_by_hand_is_read_as_it_stands() -> None:
    found = {"metadata": {}, "data": {"values.controlPlane.replicas": "x", "values.nodeSelector": "[" * 100_000}}
    assert read_record(found).values == {"controlPlane.replicas": "x", "nodeSelector": "[" * 100_000}


def test_every_kind_that_is_installed_can_be_removed() -> None:
    assert set(ORDER) <= {place.kind for place in PLACES}


def test_paths_are_those_of_the_api() -> None:
    paths = {place.kind: make_path(place, "shop", "x") for place in PLACES}
    assert paths["ConfigMap"] == "/api/v1/namespaces/shop/configmaps/x"
    assert paths["Deployment"] == "/apis/apps/v1/namespaces/shop/deployments/x"
    assert paths["Namespace"] == "/api/v1/namespaces/x"
    assert paths["ClusterRole"] == "/apis/rbac.authorization.k8s.io/v1/clusterroles/x"


def test_nothing_outside_is_missed_by_a_single_namespace() -> None:
    found = Remains([], [], ["clusterroles", "secrets", "namespaces"]).in_namespace()
    assert found.unseen == ["secrets"]


def test_the_kubeconfig_is_found_as_kubectl_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterError, match="there is no kubeconfig here"):
        locate(None)
    usual = tmp_path / ".kube" / "config"
    usual.parent.mkdir()
    usual.touch()
    assert locate(None) == str(usual)
    monkeypatch.setenv("KUBECONFIG", f"/nowhere:{usual}")
    assert locate(None) == str(usual)
    assert locate("given") == "given"
