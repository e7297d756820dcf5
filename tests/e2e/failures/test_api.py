"""The Kubernetes API dies, freezes, forgets, falls silent or lags: traffic goes on, and what changed arrives later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from controlplane.translate.resource import LDS
from tests.cluster.api_server import API, ApiServer
from tests.e2e.api_proxy import ApiProxy
from tests.e2e.calls import Load
from tests.e2e.failures.conftest import revive
from tests.e2e.failures.objects import Service
from tests.e2e.failures.plane import LIMITS, Plane
from tests.e2e.failures.scene import front, make_sidecar, move, running, served_by, under_load, until
from tests.e2e.processes import GrpcBackend
from tests.unit.controlplane.ads.serving import DeltaCall

EXPIRED = 'controlplane_source_relists_total{kind="endpointslices",reason="expired"}'
STALLED = 'controlplane_source_relists_total{kind="endpointslices",reason="stalled"}'
IMPATIENT = replace(LIMITS, stall_s=2, list_timeout_s=2)


@asynccontextmanager
async def watched(plane: Plane, service: Service) -> AsyncIterator[Load]:
    """A sidecar of this control plane, and load on the service through it."""
    async with running(make_sidecar(plane.port)) as sidecar, under_load(sidecar, service.name) as load:
        await served_by(load, service.endpoints)
        yield load


@asynccontextmanager
async def proxied(api: ApiServer, tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[ApiProxy, Plane]]:
    """A control plane that reaches the API by way of a proxy."""
    async with ApiProxy(api.address, API) as proxy:
        plane = Plane(proxy.write_kubeconfig(api.kubeconfig, tmp_path / "proxied"), **settings)
        async with running(plane):
            yield proxy, plane


async def test_kill_9_of_the_api_server(api: ApiServer, namespace: str, backends: list[GrpcBackend]) -> None:
    """What changes meanwhile is in etcd, and waits there."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with running(Plane(api.kubeconfig)) as plane, watched(plane, service) as load:
        api.server.kill()
        await until(plane.problems, "the loss")
        service.replace(a, c)
        await load.answered(100)
        await served_by(load, {"a", "b"})
        await asyncio.to_thread(revive, api)
        await served_by(load, {"b", "c"})


@pytest.mark.parametrize("parts", [["etcd"], ["etcd", "server"]], ids=" and ".join)
async def test_kill_9_of_etcd(parts: list[str], api: ApiServer, namespace: str, backends: list[GrpcBackend]) -> None:
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with running(Plane(api.kubeconfig)) as plane, watched(plane, service) as load:
        for part in parts:
            getattr(api, part).kill()
        await load.answered(100)
        assert not api.client.is_ready()
        await asyncio.to_thread(revive, api)
        service.replace(a, c)
        await served_by(load, {"b", "c"})


async def test_a_frozen_api_server(api: ApiServer, namespace: str, backends: list[GrpcBackend]) -> None:
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with running(Plane(api.kubeconfig, limits=IMPATIENT)) as plane, watched(plane, service) as load:
        api.server.freeze()
        service.replace(a, c)
        await until(plane.problems, "the silence")
        await served_by(load, {"a", "b"})
        api.server.thaw()
        await served_by(load, {"b", "c"})


async def test_a_history_that_has_been_forgotten(
    api: ApiServer, namespace: str, backends: list[GrpcBackend], tmp_path: Path
) -> None:
    """410: only a new list says what has gone."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with proxied(api, tmp_path) as (proxy, plane), watched(plane, service) as load:
        await proxy.cut()
        service.replace(a, c)
        api.compact()
        api.server.kill()
        await asyncio.to_thread(revive, api)
        await served_by(load, {"a", "b"})
        proxy.accept()
        await served_by(load, {"b", "c"})
        assert plane.metric(EXPIRED) >= 1


async def test_watches_that_silently_stall(
    api: ApiServer, namespace: str, backends: list[GrpcBackend], tmp_path: Path
) -> None:
    """Their connections stay open for good, and no byte comes; new ones work."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with proxied(api, tmp_path, limits=IMPATIENT) as (proxy, plane), watched(plane, service) as load:
        proxy.silence()
        service.replace(a, c)
        await served_by(load, {"b", "c"})
        assert plane.metric(STALLED) >= 1


async def test_a_slow_api_server_while_sidecars_reconnect(
    api: ApiServer, namespace: str, backends: list[GrpcBackend], tmp_path: Path
) -> None:
    """A control plane that has not read everything yet answers nobody: an empty answer would delete the mesh."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with (
        proxied(api, tmp_path) as (proxy, first),
        running(make_sidecar(first.port)) as one,
        running(make_sidecar(first.port)) as two,
        under_load(one, service.name) as load,
        under_load(two, service.name) as other_load,
    ):
        first.kill()
        proxy.stall()
        proxy.delay_s = 0.1
        service.replace(a, c)
        second = Plane(proxy.write_kubeconfig(api.kubeconfig, tmp_path / "again"), xds=first.address)
        second.until = "/live"
        async with running(second), grpc.aio.insecure_channel(second.address) as channel:
            call = DeltaCall(channel)
            await call.send(LDS, [service.name])
            answer = asyncio.create_task(call.read())
            await load.answered(200)
            await served_by(other_load, {"a", "b"})
            assert second.get("/ready") == (503, "the source has not been read yet\n")
            assert not answer.done()
            proxy.resume()
            response = await answer
            assert [item.name for item in response.resources] == [service.name]
            await served_by(load, {"b", "c"})
            await served_by(other_load, {"b", "c"})


async def test_a_replica_that_lags(api: ApiServer, namespace: str, backends: list[GrpcBackend], tmp_path: Path) -> None:
    """A sidecar that has to move to it goes back in time, and on again when the replica does."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with running(Plane(api.kubeconfig)) as fresh, proxied(api, tmp_path) as (proxy, lagging):
        async with front(fresh.port) as place, running(make_sidecar(place.port)) as sidecar:
            async with under_load(sidecar, service.name) as load:
                proxy.stall()
                service.replace(a, c)
                await served_by(load, {"b", "c"})
                fresh.kill()
                await move(place, lagging.port)
                await served_by(load, {"a", "b"})
                proxy.delay_s = 0.3
                proxy.resume()
                await served_by(load, {"b", "c"})


async def test_a_replica_whose_data_are_stale_sends_its_sidecars_away(
    api: ApiServer, namespace: str, backends: list[GrpcBackend], tmp_path: Path
) -> None:
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with running(Plane(api.kubeconfig)) as fresh, ApiProxy(api.address, API) as proxy:
        kubeconfig = proxy.write_kubeconfig(api.kubeconfig, tmp_path / "proxied")
        async with running(Plane(kubeconfig, "--when-stale", "close", stale_s=4)) as stale:
            async with front(stale.port) as place, running(make_sidecar(place.port)) as sidecar:
                async with under_load(sidecar, service.name) as load:
                    place.upstream = ("127.0.0.1", fresh.port)  # for the next connection
                    proxy.stall()
                    service.replace(a, c)
                    await served_by(load, {"b", "c"})
                    status, reason = stale.get("/ready")
                    assert (status, "has not been heard" in reason) == (503, True)
                    assert fresh.metric("controlplane_xds_streams") == 1
