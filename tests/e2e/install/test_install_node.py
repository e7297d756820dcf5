"""The Dockerfile's image and the manifests of `mesh install` on a real node: install, label, apply, and it balances."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from mesh.contract import PROXY_CONTAINER
from mesh.version import VERSION
from tests.cluster.client import Object, wait_until
from tests.cluster.mesh_image import NAME, build, buildah, load, weight_beyond_base
from tests.cluster.node import MANIFESTS, Node
from tests.e2e.install.manifests import client_pod
from tests.e2e.install.tool import PROGRAM

SIZE_MAX_BYTES = 80_000_000
pytestmark = pytest.mark.timeout(1200)  # the first time, an image is built
PARTS = ("gossamer-controlplane", "gossamer-injector")


@pytest.fixture(scope="module")
def archive() -> Path:
    return build()


def mesh(node: Node, *arguments: str) -> str:
    return node.run(sys.executable, "-c", PROGRAM, *arguments)


@pytest.fixture(scope="module")
def installed(node: Node) -> Iterator[Node]:
    """As a user does it."""
    load(node)
    node.kubectl("apply", "--filename=-", text=mesh(node, "install", "--set", "image.pullPolicy=Never"))
    for name in PARTS:
        node.wait_rollout(name, "gossamer", within_s=120)
    yield node
    node.kubectl("delete", "--wait=false", "--filename=-", text=mesh(node, "uninstall"))


def expect_balance(node: Node, namespace: str) -> None:
    """Every pod has the sidecar, and one channel of the client is answered by all backends."""
    pods = {pod["metadata"]["name"]: pod for pod in node.client.list("Pod", namespace) if is_application(pod)}
    for pod in pods.values():
        assert PROXY_CONTAINER in [container["name"] for container in pod["spec"]["initContainers"]]

    def answers() -> list[str]:
        return node.kubectl(
            "logs", f"--namespace={namespace}", "client", "--container=client", "--tail=100"
        ).splitlines()

    def is_running() -> bool:
        return node.client.get("Pod", "client", namespace)["status"]["phase"] == "Running"

    wait_until(is_running, "the client to run")
    wait_until(lambda: len(answers()) == 100 and {*answers()} == pods.keys() - {"client"}, "both backends to answer")


def is_application(pod: Object) -> bool:
    return "app.kubernetes.io/part-of" not in pod["metadata"].get("labels", {})


def test_the_image_is_small_and_says_what_it_is(archive: Path) -> None:
    assert weight_beyond_base(archive) < SIZE_MAX_BYTES
    config = json.loads(buildah("inspect", "--type=image", NAME))["OCIv1"]["config"]
    assert (config["User"], config["Entrypoint"]) == ("2102:2102", ["mesh"])
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_image_holds_the_compiled_hot_path_and_the_rules_of_the_init_container(installed: Node) -> None:
    where = ("exec", "--namespace=gossamer", "deployment/gossamer-controlplane", "--")
    modules = json.loads(installed.kubectl(*where, "mesh", "version", "-o", "json"))["modules"]
    assert not [name for name, found in modules.items() if not found["compiled"]]
    assert "uid=2102(gossamer)" in installed.kubectl(*where, "id")
    # It may not look everywhere: where the user of the container may not go, no program is of use either.
    search = (
        "find / -xdev \\( -type f -perm /6000 -o -name 'pip*.whl' -o -path /usr/bin/env \\) -print 2>/dev/null; true"
    )
    assert installed.kubectl(*where, "sh", "-c", search).split() == ["/usr/bin/env"]
    assert "iptables v1" in installed.kubectl(*where, "iptables", "--version")
    with pytest.raises(RuntimeError, match="Read-only file system"):
        installed.kubectl(*where, "touch", "/tmp/x")


def test_pods_in_a_labelled_namespace_get_the_sidecar_and_requests_are_balanced(installed: Node) -> None:
    node, namespace = installed, installed.api.make_namespace("meshed")
    node.kubectl("label", "namespace", namespace, "gossamer.mesh/inject=enabled")
    node.client.apply(MANIFESTS / "backend.yaml", namespace)
    node.wait_rollout("backend", namespace, within_s=120)
    node.client.apply(client_pod("backend:8080"), namespace)
    expect_balance(node, namespace)
    node.client.delete("Namespace", namespace)


def test_a_user_of_one_namespace_meshes_it(node: Node) -> None:
    load(node)
    namespace = node.api.make_namespace("alone")
    rita = ("--kubeconfig", str(node.api.write_user_kubeconfig("rita")))
    node.kubectl("create", "rolebinding", "rita", f"--namespace={namespace}", "--clusterrole=admin", "--user=rita")
    allowed = ("auth", "can-i", "create", "rolebindings", f"--namespace={namespace}", "--as=rita")
    wait_until(lambda: node.kubectl(*allowed).strip() == "yes", "her rights to be known")
    install = ("install", "--namespace", namespace, "--single-namespace", "--set", "image.pullPolicy=Never")
    node.kubectl(*rita, "apply", "--filename=-", text=mesh(node, *install, *rita))
    node.wait_rollout(PARTS[0], namespace, within_s=120)
    here = (
        "--control-plane",
        f"{PARTS[0]}.{namespace}.svc.cluster.local:4150",
        "--set",
        "proxy-image-pull-policy=Never",
    )
    for manifest in ((MANIFESTS / "backend.yaml").read_text(), yaml.safe_dump(client_pod("backend:8080"))):
        injected = node.run(sys.executable, "-c", PROGRAM, "inject", "--manual", *here, "-", text=manifest)
        node.kubectl(*rita, "apply", f"--namespace={namespace}", "--filename=-", text=injected)
    node.wait_rollout("backend", namespace, within_s=120)
    expect_balance(node, namespace)
    node.client.delete("Namespace", namespace)
