"""One installation for all tests here, from nothing, by the commands of docs/getting-started.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh.contract import CONTROL_NAMESPACE
from tests.cluster.client import wait_until
from tests.cluster.mesh_image import load
from tests.cluster.node import Node
from tests.e2e.product.scene import ENOUGH, Voting, failures, follow_visitors
from tests.e2e.product.tour import Tour


@pytest.fixture(scope="session")
def tour(node: Node) -> Iterator[Tour]:
    load(node)
    wait_until(lambda: node.client.find("Namespace", CONTROL_NAMESPACE) is None, "the end of another installation")
    guide = Tour(node)
    guide.run_section("Install the mesh")
    yield guide
    guide.run_section("Clean up")


@pytest.fixture(scope="session")
def voting(node: Node, tour: Tour) -> Iterator[Voting]:
    tour.run_section("Mesh an application")
    visitors = follow_visitors(node)
    scene = Voting(node, visitors)
    wait_until(lambda: len(scene.calls()) >= ENOUGH, "the visitors")
    yield scene
    visitors.stop()


@pytest.fixture
def steady(voting: Voting) -> Iterator[Voting]:
    """Whatever a test does: no visitor sees a failure, from its beginning until the pods that ended are gone."""
    begun = len(voting.calls())
    yield voting
    ended = len(voting.calls())
    wait_until(lambda: len(voting.calls()) >= ended + ENOUGH, "the visitors to go on")
    assert failures(voting.calls()[begun:]) == []
