"""The guide's section for a user with rights in one namespace only.

It goes first: the tests after it have that namespace for themselves, until the end.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.contract import CONTROL_SERVICE
from mesh.demo.application import NAMESPACE
from tests.cluster.client import wait_until
from tests.cluster.mesh_image import load
from tests.cluster.node import Node
from tests.e2e.product.scene import ENOUGH, Voting, failures, follow_visitors, has_sidecar
from tests.e2e.product.tour import ALONE, USER, Tour, read_guide

pytestmark = pytest.mark.timeout(1200)  # the first time, an image is built


@pytest.fixture(scope="module")
def alone(node: Node) -> Iterator[Voting]:
    """Done by the commands of the guide, the middle ones in the name of the user."""
    load(node)
    wait_until(lambda: node.client.find("Namespace", NAMESPACE) is None, "the end of another application")
    prepare, mesh, clean_up = read_guide()[ALONE]
    admin = Tour(node)
    admin.run(prepare)
    try:
        wait_until(lambda: is_bound(node), "her rights to be known")
        Tour(node, node.api.write_user_kubeconfig(USER)).run(mesh)
        visitors = follow_visitors(node)
        yield Voting(node, visitors)
        visitors.stop()
    finally:
        admin.run(clean_up)


def is_bound(node: Node) -> bool:
    allowed = ("auth", "can-i", "create", "rolebindings", f"--namespace={NAMESPACE}", f"--as={USER}")
    try:
        return node.kubectl(*allowed).strip() == "yes"
    except RuntimeError:  # kubectl fails with a no
        return False


def test_all_pods_have_the_sidecar_and_answer(alone: Voting) -> None:
    wait_until(lambda: len(alone.calls()) >= ENOUGH, "the visitors")
    for app in ("emoji", "voting"):
        assert all(has_sidecar(pod) for pod in alone.pods(app).values())
        alone.wait_answers({*alone.pods(app)}, f"all pods of {app} to answer")
    assert failures(alone.calls()) == []


def test_nothing_of_it_is_cluster_wide(alone: Voting) -> None:
    own = f"app.kubernetes.io/part-of=gossamer,app.kubernetes.io/instance={NAMESPACE}"
    find = alone.node.client.list
    assert [item["metadata"]["name"] for item in find("Role", NAMESPACE, labelSelector=own)] == [CONTROL_SERVICE]
    for kind in ("ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration"):
        assert not find(kind, labelSelector=own)
