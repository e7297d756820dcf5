"""By which names pods are reached, under a real Kubernetes: short ones, those of a StatefulSet's pods, ExternalName."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.client import Object
from tests.cluster.node import Node
from tests.e2e.mesh.deployment import PORT, SERVICE, deploy, make_deployment
from tests.e2e.mesh.site import Site

SET = "ballot"


@pytest.fixture(scope="module")
def namespace(node: Node) -> Iterator[str]:
    """A namespace with the Service `backend` and two pods."""
    name = node.api.make_namespace("names")
    deploy(node, name)
    yield name
    node.client.delete("Namespace", name)


@pytest.fixture(scope="module")
def other_namespace(node: Node) -> Iterator[str]:
    """Another one with the same, and a StatefulSet behind a headless Service."""
    name = node.api.make_namespace("names")
    deploy(node, name)
    node.client.apply([make_set(), make_headless()], name)
    node.wait_rollout(SET, name, "StatefulSet")
    yield name
    node.client.delete("Namespace", name)


def make_set() -> Object:
    """Two pods with names of their own, started at once."""
    found = make_deployment(SET)
    spec = {key: found["spec"][key] for key in ("replicas", "selector", "template")}
    extra = {"serviceName": SET, "podManagementPolicy": "Parallel"}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": SET}, "spec": spec | extra}


def make_headless() -> Object:
    ports = [{"name": "grpc", "port": PORT, "targetPort": "grpc"}]
    spec = {"clusterIP": "None", "selector": {"app": SET}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": SET}, "spec": spec}


def make_external(name: str, host: str) -> Object:
    spec = {"type": "ExternalName", "externalName": host, "ports": [{"name": "grpc", "port": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def expect_answers(site: Site, target: str, authority: str, pods: set[str]) -> None:
    caller = site.call(f"{authority or target} at {target}", target, authority)
    caller.wait_answers(pods)
    caller.stop()
    assert caller.failures == []


def find_pods(node: Node, namespace: str, app: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in node.client.list("Pod", namespace, labelSelector=f"app={app}")}


@pytest.mark.parametrize("kind", ["sidecar", "envoy"])
def test_a_short_name_is_that_of_the_client_s_namespace(
    site: Site, namespace: str, other_namespace: str, kind: str
) -> None:
    def start(place: str) -> str:
        return site.start_sidecar(place) if kind == "sidecar" else site.start_envoy("DELTA_GRPC", place)

    here, there = (find_pods(site.node, name, SERVICE) for name in (namespace, other_namespace))
    address = start(namespace)
    expect_answers(site, address, f"{SERVICE}:{PORT}", here)
    expect_answers(site, address, f"{SERVICE}.{other_namespace}:{PORT}", there)
    expect_answers(site, start(other_namespace), f"{SERVICE}:{PORT}", there)


def test_pods_of_a_stateful_set_are_reached_by_name(site: Site, other_namespace: str) -> None:
    address = site.start_sidecar(other_namespace)
    expect_answers(site, address, f"{SET}:{PORT}", {f"{SET}-0", f"{SET}-1"})
    expect_answers(site, address, f"{SET}-0.{SET}:{PORT}", {f"{SET}-0"})
    expect_answers(site, address, f"{SET}-1.{SET}.{other_namespace}.svc.cluster.local:{PORT}", {f"{SET}-1"})
    expect_answers(site, f"xds:///{SET}-0.{SET}.{other_namespace}.svc.cluster.local:{PORT}", "", {f"{SET}-0"})


def test_an_external_name_is_resolved_by_the_client(site: Site, namespace: str, other_namespace: str) -> None:
    host = f"{SET}-1.{SET}.{other_namespace}.svc.cluster.local"
    site.node.client.apply(make_external("elsewhere", host), namespace)
    name = f"elsewhere.{namespace}.svc.cluster.local:{PORT}"
    expect_answers(site, site.start_sidecar(), name, {f"{SET}-1"})
    expect_answers(site, site.start_envoy("DELTA_GRPC"), name, {f"{SET}-1"})
    expect_answers(site, f"xds:///{name}", "", {f"{SET}-1"})
