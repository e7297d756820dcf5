"""`mesh inject --manual --from-cluster`: by what is installed and what namespaces say in a real API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.contract import INIT_CONTAINER, PROXY_CONTAINER
from mesh.version import VERSION
from tests.cluster.api_server import ApiServer
from tests.e2e.inject.conftest import Run
from tests.e2e.inject.test_api import DEPLOYMENT

SETTINGS = ["--set", "proxy.proxy-cpu-request=77m", "--set", "clusterDomain=corp.example", "--set", "image.tag=7"]


@pytest.fixture
def home(api_server: ApiServer, mesh: Run, namespace: str) -> str:
    """A namespace with what `mesh install` for it alone leaves of its values there."""
    done = mesh("install", "--ignore-cluster", "--single-namespace", "--namespace", namespace, *SETTINGS)
    assert done.returncode == 0, done.stderr
    kept = [item for item in yaml.safe_load_all(done.stdout) if item["kind"] == "ConfigMap"]
    api_server.client.apply(kept)
    return namespace


def write_out(mesh: Run, home: str, kubeconfig: Path, *options: str) -> tuple[dict[str, Any], str]:
    """The pod template of the Deployment in that namespace, and what was said."""
    text = DEPLOYMENT.replace("name: web\n", f"name: web\n  namespace: {home}\n", 1)
    asked = ["--from-cluster", "--namespace", home, "--kubeconfig", str(kubeconfig), *options]
    done = mesh("inject", "--manual", *asked, "-", text=text)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout)["spec"]["template"]), done.stderr


def test_the_sidecar_is_as_installed_and_as_the_namespace_says(
    api_server: ApiServer, mesh: Run, home: str, tmp_path: Path
) -> None:
    said = {"config.gossamer.mesh/opaque-ports": "5672"}
    api_server.client.patch("Namespace", home, {"metadata": {"annotations": said}})
    template, report = write_out(mesh, home, api_server.kubeconfig)
    containers = {item["name"]: item for item in template["spec"]["initContainers"]}
    proxy = containers[PROXY_CONTAINER]
    assert f"gossamer-controlplane.{home}.svc.corp.example:4150" in proxy["command"]
    assert proxy["resources"]["requests"]["cpu"] == "77m"
    assert {"name": "GOSSAMER_OPAQUE_PORTS", "value": "5672"} in proxy["env"]
    assert containers[INIT_CONTAINER]["image"] == "gossamer/mesh:7"
    assert template["metadata"]["annotations"].items() >= said.items()
    assert f"note      the settings are those of Gossamer {VERSION} in {home}" in report
    flags = ["--set", "proxy-cpu-request=5m", "--control-plane", "10.0.0.1:4150"]
    template, _ = write_out(mesh, home, api_server.kubeconfig, *flags)
    proxy = next(item for item in template["spec"]["initContainers"] if item["name"] == PROXY_CONTAINER)
    assert proxy["resources"]["requests"]["cpu"] == "5m"
    assert "10.0.0.1:4150" in proxy["command"]
    assert proxy["image"] == "gossamer/mesh:7"


def test_rights_in_the_one_namespace_are_enough(api_server: ApiServer, kubectl: Run, mesh: Run, home: str) -> None:
    kubeconfig = api_server.write_user_kubeconfig("tenant")
    asked = ["inject", "--manual", "--from-cluster", "--namespace", home, "--kubeconfig", str(kubeconfig), "-"]
    done = mesh(*asked, text=DEPLOYMENT)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ask for the right to get ConfigMaps there, or leave --from-cluster out." in done.stderr
    scope = ("--namespace", home)
    assert kubectl("create", "role", "reader", "--verb=get", "--resource=configmaps", *scope).returncode == 0
    assert kubectl("create", "rolebinding", "reader", "--role=reader", "--user=tenant", *scope).returncode == 0
    template, report = write_out(mesh, home, kubeconfig)
    assert [item["name"] for item in template["spec"]["initContainers"]] == [INIT_CONTAINER, PROXY_CONTAINER]
    assert f"note      what the namespace says is not known, as you may not get it: {home}" in report


def test_where_nothing_is_installed(api_server: ApiServer, mesh: Run, namespace: str) -> None:
    asked = ["--from-cluster", "--namespace", namespace, "--kubeconfig", str(api_server.kubeconfig)]
    done = mesh("inject", "--manual", *asked, "-", text=DEPLOYMENT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"mesh inject: Gossamer is not installed in {namespace}; name where it is with --namespace, or leave "
        "--from-cluster out.\n"
    )
