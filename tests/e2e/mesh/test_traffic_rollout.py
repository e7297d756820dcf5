"""Clients under load while their Service's pods change, all kinds of client at once: not one request fails.

The pods are real ones, started and ended by the Deployment controller and the kubelet; the clients are gRPC's own over
xDS, Envoy with ADS (state of the world, and delta), and our sidecar. What counts is who answered, not what was ACKed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.e2e.mesh.caller import Caller
from tests.e2e.mesh.deployment import PORT, SERVICE, deploy, make_deployment, scale, wait_pods
from tests.e2e.mesh.site import Site

# Fewer than this would mean that a load stood still during the change.
CALLS_MIN = 300


class Proxies(NamedTuple):
    """Where the ones that follow the control plane listen."""

    envoy_sotw: str
    envoy_delta: str
    sidecar: str


@pytest.fixture(scope="module")
def proxies(site: Site) -> Proxies:
    return Proxies(site.start_envoy("GRPC"), site.start_envoy("DELTA_GRPC"), site.start_sidecar())


class Scene:
    """A Service with two pods in a namespace of its own, and four callers of it."""

    def __init__(self, site: Site, proxies: Proxies) -> None:
        self.node, self.site = site.node, site
        self.namespace = self.node.api.make_namespace("traffic")
        deploy(self.node, self.namespace)
        name = f"{SERVICE}.{self.namespace}.svc.cluster.local:{PORT}"
        self.callers = [
            site.call("gRPC over xDS", f"xds:///{name}"),
            site.call("Envoy, state of the world", proxies.envoy_sotw, name),
            site.call("Envoy, delta", proxies.envoy_delta, name),
            site.call("the sidecar", proxies.sidecar, name),
        ]
        self.pods = wait_pods(self.node, self.namespace, SERVICE, 2)
        self.wait_answers()

    def settle(self, app: str, count: int) -> None:
        """Wait until these are the pods there are, and all callers reach all of them and no other."""
        self.pods = wait_pods(self.node, self.namespace, app, count)
        self.wait_answers()

    def wait_answers(self) -> None:
        for caller in self.callers:
            caller.wait_answers(self.pods)

    def expect_no_failure(self) -> None:
        for caller in self.callers:
            caller.stop()
        assert {caller.name: describe_failures(caller) for caller in self.callers if caller.failures} == {}
        assert min(len(caller.outcomes) for caller in self.callers) > CALLS_MIN
        assert self.site.metric("controlplane_xds_nacks_total") == 0


def describe_failures(caller: Caller) -> list[str]:
    begin_s = caller.outcomes[0].begun_s
    return [f"{failure.begun_s - begin_s:.3f} s: {failure.error}" for failure in caller.failures]


@pytest.fixture
def scene(site: Site, proxies: Proxies) -> Iterator[Scene]:
    made = Scene(site, proxies)
    yield made
    site.node.client.delete("Namespace", made.namespace)


def test_scaled_up_and_down(scene: Scene) -> None:
    before = scene.pods
    scale(scene.node, scene.namespace, 4)
    scene.settle(SERVICE, 4)
    assert before < scene.pods
    scale(scene.node, scene.namespace, 1)
    scene.settle(SERVICE, 1)
    scene.expect_no_failure()


def test_rolled(scene: Scene) -> None:
    before = scene.pods
    scene.node.kubectl("rollout", "restart", "deployment/backend", "--namespace", scene.namespace)
    scene.node.wait_rollout("backend", scene.namespace)
    scene.settle(SERVICE, 2)
    assert before.isdisjoint(scene.pods)
    scene.expect_no_failure()


def test_selector_moves_to_another_deployment_and_the_first_is_deleted(scene: Scene) -> None:
    client = scene.node.client
    client.apply(make_deployment("other"), scene.namespace)
    scene.node.wait_rollout("other", scene.namespace)
    client.patch("Service", SERVICE, {"spec": {"selector": {"app": "other"}}}, scene.namespace)
    client.delete("Deployment", "backend", scene.namespace)
    scene.settle("other", 2)
    scene.expect_no_failure()
