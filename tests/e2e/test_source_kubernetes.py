"""The Kubernetes source against a real API server: what it knows is what the API has, whatever happened in between."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from controlplane.model.objects import PODS, SERVICES, SLICES, Key, Object
from controlplane.model.read import read
from controlplane.model.snapshot import KINDS
from controlplane.sources.course import Limits
from controlplane.sources.kubernetes import KubernetesSource
from tests.cluster.api_server import API, ApiServer
from tests.cluster.client import Client
from tests.cluster.part import Part
from tests.e2e.api_proxy import ApiProxy
from tests.unit.controlplane.sources.witness import State, running

RBAC = Path(__file__).parents[2] / "docs" / "rbac"
TITLES = {SERVICES: "Service", SLICES: "EndpointSlice", PODS: "Pod"}
LIMITS = Limits(retry_s=(0.05, 0.5), denied_s=(0.2, 0.5), steady_s=1, list_timeout_s=20, stall_s=60)


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    """An API server for these tests alone, which they stop and start."""
    with ApiServer() as running_api:
        yield running_api


@pytest.fixture
def namespace(api: ApiServer) -> Iterator[str]:
    name = api.make_namespace("source")
    yield name
    api.client.delete("Namespace", name)


def service(name: str, port: int = 80) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"name": "grpc", "port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def pod(name: str, app: str) -> dict[str, Any]:
    container = {"name": "app", "image": "none", "ports": [{"name": "grpc", "containerPort": 8001}]}
    metadata = {"name": name, "labels": {"app": app}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": "node-1", "containers": [container]},
    }


def endpoint_slice(name: str, *addresses: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "voting"}},
        "addressType": "IPv4",
        "ports": [{"name": "grpc", "port": 8001}],
        "endpoints": [{"addresses": [address]} for address in addresses],
    }


def truth(client: Client, namespace: str | None) -> dict[str, dict[Key, Object]]:
    """What the API has now, kind by kind."""
    found: dict[str, dict[Key, Object]] = {}
    for kind in KINDS:
        objects = [read(kind, raw) for raw in client.list(TITLES[kind], namespace)]
        found[kind] = {item.key: item for item in objects}
    return found


def known(state: State) -> dict[str, dict[Key, Object]]:
    return {kind: dict(state.snapshot.table(kind)) for kind in KINDS}


async def until(check: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        await asyncio.sleep(0.02)


async def until_true(client: Client, namespace: str | None, state: State) -> None:
    """Wait until the source knows what the API has."""
    deadline = time.monotonic() + 60
    while (expected := truth(client, namespace)) != known(state):
        assert time.monotonic() < deadline, f"{known(state)} is not yet {expected}"
        await asyncio.sleep(0.1)


@asynccontextmanager
async def following(source: KubernetesSource) -> AsyncIterator[State]:
    state = State()
    async with running(source, state):
        yield state


@asynccontextmanager
async def proxied(
    api: ApiServer, namespace: str, tmp_path: Path, **limits: Any
) -> AsyncIterator[tuple[ApiProxy, KubernetesSource, State]]:
    """A source that follows one namespace by way of a proxy, and has listed it."""
    async with ApiProxy(api.address, API) as proxy:
        kubeconfig = proxy.write_kubeconfig(api.kubeconfig, tmp_path / "proxied")
        source = KubernetesSource(kubeconfig, namespace, replace(LIMITS, **limits), Random(1))
        async with following(source) as state:
            await until(lambda: source.synced, "the lists")
            yield proxy, source, state


async def restart(api: ApiServer, *parts: Part) -> None:
    """Start parts that were killed. The connection of the tests' own client goes with the server."""
    api.client.close()
    for part in parts:
        part.start()
    await until(api.client.is_ready, "the API server")


def count(source: KubernetesSource, *key: str) -> int:
    what, kind, reason = key
    return source.counters().get((what, kind, reason), 0)


async def test_it_follows_a_service_its_pods_and_its_slices(api: ApiServer, namespace: str) -> None:
    client = api.client
    api.add_node("node-1", "zone-a")
    client.create(service("voting"), namespace)
    source = KubernetesSource(str(api.kubeconfig), namespace, LIMITS)
    async with following(source) as state:
        await until(lambda: source.synced, "the lists")
        assert [name for _, name in state.snapshot.services] == ["voting"]
        for number in range(3):
            client.create(pod(f"voting-{number}", "voting"), namespace)
            api.set_pod_status(f"voting-{number}", namespace, f"10.1.2.{number + 1}")
        await until(
            lambda: [len(item.endpoints) for item in state.snapshot.endpointslices.values()] == [3],
            "the three endpoints that the controller makes",
        )
        client.delete("Pod", "voting-1", namespace, grace_s=0)
        client.patch("Service", "voting", {"spec": {"ports": [{"name": "grpc", "port": 81}]}}, namespace)
        await until(lambda: len(state.snapshot.pods) == 2, "the deletion")
        await until_true(client, namespace, state)
        assert source.problems() == []
        assert all(count(source, "relists", kind, "start") == 1 for kind in KINDS)


async def test_all_namespaces_and_pages_of_two(api: ApiServer, namespace: str) -> None:
    for number in range(7):
        api.client.create(service(f"s{number}"), namespace)
    source = KubernetesSource(str(api.kubeconfig), None, replace(LIMITS, page_objects=2))
    async with following(source) as state:
        await until(lambda: source.synced, "the lists")
        assert {key for key in state.snapshot.services if key[0] == namespace} == {
            (namespace, f"s{number}") for number in range(7)
        }
        assert ("default", "kubernetes") in state.snapshot.services
        await until_true(api.client, None, state)


async def keep_changing(api: ApiServer, namespace: str, bodies: Sequence[dict[str, Any]]) -> None:
    """For ever: a busy server may leave out a bookmark, and it gives none for what did not change since."""
    for number in itertools.count():
        await asyncio.sleep(2.0)
        for body in bodies:
            labels = {"number": str(number)}
            api.client.patch(body["kind"], body["metadata"]["name"], {"metadata": {"labels": labels}}, namespace)


async def test_an_idle_watch_is_kept_alive_by_the_servers_bookmarks(api: ApiServer, namespace: str) -> None:
    """One comes two seconds before the end of each watch, and else once a minute, if the kind has changed anywhere."""
    limits = replace(LIMITS, watch_timeout_s=(5, 5))
    source = KubernetesSource(str(api.kubeconfig), namespace, limits)
    other = api.make_namespace("other")
    async with following(source):
        await until(lambda: source.synced, "the lists")
        since = time.monotonic()
        bodies = service("a"), pod("a", "a"), endpoint_slice("a", "10.1.2.3")
        for body in bodies:
            api.client.create(body, other)
        changes = asyncio.create_task(keep_changing(api, other, bodies))
        await until(lambda: source.staleness_s(since) < 0, "bookmarks of every kind")
        changes.cancel()
        await until(lambda: all(count(source, "watches", kind, "finished") for kind in KINDS), "the ends of watches")
        assert {key[2] for key in source.counters() if key[0] == "events"} == {"BOOKMARK"}
        assert {key[2] for key in source.counters() if key[0] == "relists"} == {"start"}
    api.client.delete("Namespace", other)


async def test_what_happened_while_the_network_was_cut_is_made_up_for(
    api: ApiServer, namespace: str, tmp_path: Path
) -> None:
    api.client.create(service("gone"), namespace)
    api.client.create(service("changed"), namespace)
    async with proxied(api, namespace, tmp_path) as (proxy, source, state):
        assert len(state.snapshot.services) == 2
        await proxy.cut()
        api.client.delete("Service", "gone", namespace)
        api.client.patch("Service", "changed", {"spec": {"ports": [{"name": "grpc", "port": 81}]}}, namespace)
        api.client.create(service("new"), namespace)
        await until(lambda: len(source.problems()) == 3, "the loss")
        assert len(state.snapshot.services) == 2
        proxy.restore()
        await until_true(api.client, namespace, state)
        assert {name for _, name in state.snapshot.services} == {"changed", "new"}
        assert {key[2] for key in source.counters() if key[0] == "relists"} == {"start"}
        await until(lambda: not source.problems(), "no problem")


async def test_a_killed_api_server_and_a_compacted_history(api: ApiServer, namespace: str, tmp_path: Path) -> None:
    """The version that the watch would go on from is too old by then: only a list says what is gone."""
    api.client.create(service("gone"), namespace)
    async with proxied(api, namespace, tmp_path) as (proxy, source, state):
        await proxy.cut()
        api.client.delete("Service", "gone", namespace)
        api.client.create(service("new"), namespace)
        api.compact()
        api.server.kill()
        await restart(api, api.server)
        assert {name for _, name in state.snapshot.services} == {"gone"}
        proxy.restore()
        await until_true(api.client, namespace, state)
        assert {name for _, name in state.snapshot.services} == {"new"}
        assert count(source, "relists", SERVICES, "expired") >= 1


async def test_kill_9_of_the_api_server_and_of_etcd(api: ApiServer, namespace: str) -> None:
    api.client.create(service("voting"), namespace)
    source = KubernetesSource(str(api.kubeconfig), namespace, LIMITS)
    async with following(source) as state:
        await until(lambda: source.synced, "the lists")
        before = known(state)
        api.server.kill()
        api.etcd.kill()
        await until(lambda: len(source.problems()) == 3, "the loss")
        assert known(state) == before
        await restart(api, api.etcd, api.server)
        api.client.create(service("new"), namespace)
        await until_true(api.client, namespace, state)
        await until(lambda: not source.problems(), "no problem")
        assert {key[2] for key in source.counters() if key[0] == "relists"} <= {"start", "expired", "denied"}


async def test_a_frozen_api_server_makes_the_data_stale_and_then_a_new_list(api: ApiServer, namespace: str) -> None:
    api.client.create(service("voting"), namespace)
    limits = replace(LIMITS, stall_s=2, list_timeout_s=2)
    source = KubernetesSource(str(api.kubeconfig), namespace, limits)
    async with following(source) as state:
        await until(lambda: source.synced, "the lists")
        api.server.freeze()
        try:
            await until(lambda: len(source.problems()) == 3, "the silence")
            frozen_at = time.monotonic()
            await until(lambda: count(source, "relists", SERVICES, "stalled") > 1, "attempts to list")
            assert source.staleness_s(frozen_at) >= 0
            assert {name for _, name in state.snapshot.services} == {"voting"}
        finally:
            api.server.thaw()
        api.client.create(service("new"), namespace)
        await until_true(api.client, namespace, state)


async def test_a_network_that_cuts_connections_anywhere(api: ApiServer, namespace: str, tmp_path: Path) -> None:
    """In the handshake, in a list, in a line: nothing is lost, nothing is made up."""
    rng = Random(7)
    async with proxied(api, namespace, tmp_path, retry_s=(0.01, 0.05)) as (proxy, source, state):
        proxy.budget_bytes = (500, 6_000)
        await proxy.cut()
        proxy.accept()
        for number in range(60):
            address = f"10.2.{rng.randrange(250)}.{number + 1}"
            api.client.apply(endpoint_slice(f"voting-{number % 9}", address), namespace)
            if number % 7 == 6:
                api.client.delete("EndpointSlice", f"voting-{number % 9}", namespace)
            await asyncio.sleep(0.02)
        assert count(source, "watches", SLICES, "lost") > 3
        proxy.restore()
        await until_true(api.client, namespace, state)
        assert count(source, "unreadable", SLICES, "object") == 0


async def test_a_network_that_stalls_delays_and_garbles(api: ApiServer, namespace: str, tmp_path: Path) -> None:
    async with proxied(api, namespace, tmp_path, stall_s=2, list_timeout_s=4) as (proxy, source, state):
        proxy.stall()
        api.client.create(service("held"), namespace)
        before = proxy.connections
        await until(lambda: proxy.connections >= before + 3, "new connections")
        proxy.restore()
        await until_true(api.client, namespace, state)
        proxy.delay_s = 0.1
        api.client.create(service("late"), namespace)
        await until_true(api.client, namespace, state)
        proxy.garble = True
        api.client.create(service("garbled"), namespace)
        before = proxy.connections
        await until(lambda: proxy.connections >= before + 3, "new connections")
        assert "garbled" not in {name for _, name in state.snapshot.services}
        proxy.restore()
        await until_true(api.client, namespace, state)
        await until(lambda: not source.problems(), "no problem")


def grant(api: ApiServer, file: str, namespace: str) -> None:
    """Apply a manifest of docs/rbac as its first lines say, with its namespace in place of the example's."""
    for body in yaml.safe_load_all((RBAC / file).read_text()):
        for place in [body["metadata"], *body.get("subjects", [])]:
            if "namespace" in place:
                place["namespace"] = namespace
        api.client.apply(body, namespace)


async def test_one_namespace_with_the_documented_role(api: ApiServer, namespace: str) -> None:
    grant(api, "namespace.yaml", namespace)
    other = api.make_namespace("other")
    for place in (namespace, other):
        api.client.create(service("voting"), place)
    kubeconfig = str(api.write_account_kubeconfig("gossamer-controlplane", namespace))
    source = KubernetesSource(kubeconfig, namespace, LIMITS)
    async with following(source) as state:
        await until(lambda: source.synced, "the lists")
        api.client.create(pod("p", "voting"), namespace)
        await until(lambda: len(state.snapshot.pods) == 1, "a watch of pods")
        await until_true(api.client, namespace, state)
        assert source.problems() == []
        assert {key[0] for key in state.snapshot.services} == {namespace}
    source = KubernetesSource(kubeconfig, None, LIMITS)
    async with following(source):
        await until(lambda: len(source.problems()) == 3, "the denial of other namespaces")
        assert "grant list and watch on services in all namespaces (docs/rbac)" in str(source.problems())
        assert not source.synced
    api.client.delete("Namespace", other)


async def test_all_namespaces_with_the_documented_cluster_role(api: ApiServer, namespace: str) -> None:
    grant(api, "cluster.yaml", namespace)
    kubeconfig = str(api.write_account_kubeconfig("gossamer-controlplane", namespace))
    source = KubernetesSource(kubeconfig, None, LIMITS)
    async with following(source) as state:
        await until(lambda: source.synced, "the lists")
        await until_true(api.client, None, state)
        assert source.problems() == []
    api.client.delete("ClusterRoleBinding", "gossamer-controlplane")
    api.client.delete("ClusterRole", "gossamer-controlplane")


def without(rules: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The rules less the right to a kind."""
    rest = [{**rule, "resources": [name for name in rule["resources"] if name != kind]} for rule in rules]
    return [rule for rule in rest if rule["resources"]]


def complains(source: KubernetesSource, words: str) -> bool:
    return any(words in problem for problem in source.problems())


async def test_each_rule_of_the_documented_role_is_needed(api: ApiServer, namespace: str) -> None:
    grant(api, "namespace.yaml", namespace)
    kubeconfig = str(api.write_account_kubeconfig("gossamer-controlplane", namespace))
    whole = api.client.get("Role", "gossamer-controlplane", namespace)["rules"]
    source = KubernetesSource(kubeconfig, namespace, LIMITS)
    async with following(source):
        await until(lambda: source.synced, "the lists")
    cases = [(f"cannot list {kind}", without(whole, kind)) for kind in KINDS]
    cases.append(("cannot list services", [{**rule, "verbs": ["watch"]} for rule in whole]))
    cases.append(("cannot watch services", [{**rule, "verbs": ["list"]} for rule in whole]))
    for words, rules in cases:
        api.client.patch("Role", "gossamer-controlplane", {"rules": rules}, namespace)
        source = KubernetesSource(kubeconfig, namespace, LIMITS)
        async with following(source):
            await until(partial(complains, source, words), words)


async def test_without_the_right_to_pods_the_rest_is_served_until_it_is_granted(api: ApiServer, namespace: str) -> None:
    grant(api, "namespace.yaml", namespace)
    whole = api.client.get("Role", "gossamer-controlplane", namespace)["rules"]
    api.client.patch("Role", "gossamer-controlplane", {"rules": without(whole, PODS)}, namespace)
    api.client.create(service("voting"), namespace)
    api.client.create(pod("p", "voting"), namespace)
    kubeconfig = str(api.write_account_kubeconfig("gossamer-controlplane", namespace))
    source = KubernetesSource(kubeconfig, namespace, LIMITS)
    async with following(source) as state:
        await until(lambda: source.synced, "the lists of the rest")
        assert state.snapshot.unavailable == {PODS}
        assert len(state.snapshot.services) == 1
        assert len(source.problems()) == 1
        api.client.patch("Role", "gossamer-controlplane", {"rules": whole}, namespace)
        await until(lambda: len(state.snapshot.pods) == 1, "pods")
        assert state.snapshot.unavailable == frozenset()
        assert source.problems() == []


async def test_in_the_cluster_with_a_token_that_is_replaced(
    api: ApiServer, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod: the address from the environment, the rest from files. The old token ends with its account."""
    token = tmp_path / "token"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", api.address)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(API))
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(api.authority.ca))
    grant(api, "namespace.yaml", namespace)
    token.write_text(api.client.issue_token("gossamer-controlplane", namespace))
    source = KubernetesSource(None, namespace, replace(LIMITS, watch_timeout_s=(1, 2), steady_s=0.5))
    async with following(source) as state:
        await until(lambda: source.synced, "the lists")
        api.client.delete("ServiceAccount", "gossamer-controlplane", namespace)
        await until(lambda: "401" in str(source.problems()), "the refusal of the old token")
        grant(api, "namespace.yaml", namespace)
        token.write_text(api.client.issue_token("gossamer-controlplane", namespace))
        api.client.create(service("new"), namespace)
        await until_true(api.client, namespace, state)
        await until(lambda: not source.problems(), "no problem")
