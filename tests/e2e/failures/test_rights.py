"""The roles of docs/rbac against the API server's own RBAC, with traffic: they suffice, and they may go."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.cluster.api_server import ApiServer
from tests.e2e.failures.objects import Service
from tests.e2e.failures.plane import LIMITS, Plane
from tests.e2e.failures.scene import (
    call_as,
    failure,
    first_answer,
    make_sidecar,
    running,
    served_by,
    under_load,
    until,
)
from tests.e2e.processes import GrpcBackend
from tests.e2e.proxy_process import Proxy
from tests.e2e.test_source_kubernetes import grant, without

ACCOUNT = "gossamer-controlplane"
# A right is looked at when a watch begins: they begin often here.
WATCHFUL = replace(LIMITS, watch_timeout_s=(1, 2), denials=2, steady_s=0.5)


def account(api: ApiServer, file: str, namespace: str) -> Path:
    """A kubeconfig with a token of the documented ServiceAccount, and no right but those of the file."""
    grant(api, file, namespace)
    return api.write_account_kubeconfig(ACCOUNT, namespace)


async def workloads(sidecar: Proxy, name: str) -> list[str]:
    """What the sidecar knows of who its endpoints are."""
    config: dict[str, Any] = json.loads((await asyncio.to_thread(sidecar.admin_request, "/config"))[1])
    return [endpoint.get("workload", "") for endpoint in config["clusters"][name]]


async def test_one_namespace(api: ApiServer, namespace: str, backends: list[GrpcBackend]) -> None:
    """With the limits that users have; the API has no kind but its own."""
    assert api.client.list("CustomResourceDefinition") == []
    a, b, c = backends
    service, hidden = Service(api, namespace, a, b), Service(api, api.make_namespace("hidden"), c)
    kubeconfig = account(api, "namespace.yaml", namespace)
    async with running(Plane(kubeconfig, "--namespace", namespace, limits=None)) as plane:
        async with running(make_sidecar(plane.port)) as sidecar, under_load(sidecar, service.name) as load:
            assert "says that there is none" in await failure(sidecar, hidden.name)
            service.replace(a, c)
            await served_by(load, {"b", "c"})
            assert len(await workloads(sidecar, service.name)) == 2
            assert all(await workloads(sidecar, service.name)), "identities come with pods"
            assert plane.problems() == ""
            assert list(json.loads(plane.get("/debug/config")[1])["targets"]) == [service.name]


async def test_all_namespaces(api: ApiServer, namespace: str, backends: list[GrpcBackend]) -> None:
    a, b, c = backends
    service, other = Service(api, namespace, a, b), Service(api, api.make_namespace("other"), c)
    kubeconfig = account(api, "cluster.yaml", namespace)
    async with running(Plane(kubeconfig)) as plane, running(make_sidecar(plane.port)) as sidecar:
        async with under_load(sidecar, service.name) as load, call_as(sidecar, other.name) as channel:
            assert await first_answer(channel) == "c"
            service.replace(a, c)
            await served_by(load, {"b", "c"})
            assert plane.problems() == ""
    api.client.delete("ClusterRoleBinding", ACCOUNT)


async def test_a_role_that_is_revoked_and_granted_again(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    a, b, c = backends
    service = Service(api, namespace, a, b)
    kubeconfig = account(api, "namespace.yaml", namespace)
    async with running(Plane(kubeconfig, "--namespace", namespace, limits=WATCHFUL)) as plane:
        async with running(make_sidecar(plane.port)) as sidecar, under_load(sidecar, service.name) as load:
            api.client.delete("Role", ACCOUNT, namespace)
            await until(lambda: plane.problems().count("docs/rbac") == 3, "three denials")
            service.replace(a, c)
            await load.answered(100)
            await served_by(load, {"a", "b"})
            grant(api, "namespace.yaml", namespace)
            await served_by(load, {"b", "c"})
            await until(lambda: plane.problems() == "", "no problem")
            assert all(await workloads(sidecar, service.name))


async def test_without_the_right_to_pods_there_are_no_identities(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    a, b, c = backends
    service = Service(api, namespace, a, b)
    kubeconfig = account(api, "namespace.yaml", namespace)
    whole = api.client.get("Role", ACCOUNT, namespace)["rules"]
    api.client.patch("Role", ACCOUNT, {"rules": without(whole, "pods")}, namespace)
    async with running(Plane(kubeconfig, "--namespace", namespace, limits=WATCHFUL)) as plane:
        async with running(make_sidecar(plane.port)) as sidecar, under_load(sidecar, service.name) as load:
            service.replace(a, c)
            await served_by(load, {"b", "c"})
            assert await workloads(sidecar, service.name) == ["", ""]
            assert "grant list and watch on pods" in plane.problems()
            api.client.patch("Role", ACCOUNT, {"rules": whole}, namespace)

            async def is_known() -> bool:
                return all(await workloads(sidecar, service.name))

            await until(is_known, "identities")
            await until(lambda: plane.problems() == "", "no problem")


async def test_losing_the_right_to_pods_makes_nothing_else_stale(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    """What is known of pods grows old, and is said to; the mesh is fresh, and sidecars keep their streams."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    kubeconfig = account(api, "namespace.yaml", namespace)
    rules = without(api.client.get("Role", ACCOUNT, namespace)["rules"], "pods")
    limits = replace(WATCHFUL, stall_s=1)  # Services are idle here: they are fresh by being listed again
    options = ("--namespace", namespace, "--when-stale", "close")
    async with running(Plane(kubeconfig, *options, limits=limits, stale_s=6)) as plane:
        async with running(make_sidecar(plane.port)) as sidecar, under_load(sidecar, service.name) as load:
            await served_by(load, {"a", "b"})
            api.client.patch("Role", ACCOUNT, {"rules": rules}, namespace)

            def is_old() -> bool:
                return staleness_s(plane, "pods") > 12

            await until(is_old, "pods that have not been heard of for long")
            await until(lambda: plane.get("/ready")[0] == 200, "readiness")
            assert "grant list and watch on pods" in plane.problems()
            service.replace(a, c)
            await served_by(load, {"b", "c"})


def staleness_s(plane: Plane, kind: str) -> float:
    name = f'controlplane_source_staleness_seconds{{kind="{kind}"}} '
    lines = plane.get("/metrics")[1].splitlines()
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0)
