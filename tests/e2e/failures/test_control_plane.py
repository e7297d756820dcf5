"""The control plane dies, freezes, ends, answers garbage or what cannot be used: sidecars serve what they know."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shlex
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from proxy.control.messages import CLUSTER, ENDPOINTS, LISTENER, ROUTE
from tests.cluster.api_server import ApiServer
from tests.e2e.ads import Ads
from tests.e2e.calls import Load, eventually
from tests.e2e.failures.objects import Service
from tests.e2e.failures.plane import Plane
from tests.e2e.failures.scene import (
    call_as,
    failure,
    first_answer,
    front,
    make_sidecar,
    metric,
    move,
    running,
    served_by,
    under_load,
    until,
)
from tests.e2e.processes import HOST, GrpcBackend, free_port
from tests.e2e.proxy_process import Proxy, command
from tests.golden.envoy import start_envoy
from tests.requirement import require
from tests.unit.proxy.control.resources import make_cluster, make_endpoints, make_listener, make_routes

SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"


async def answering_from_memory(sidecar: Proxy, load: Load, names: set[str]) -> None:
    """There is no control plane, and nobody notices."""
    await eventually_connected(sidecar, False)
    await load.answered(100)
    await served_by(load, names)


async def eventually_connected(sidecar: Proxy, connected: bool) -> None:
    async def is_so() -> bool:
        return await metric(sidecar, "gossamer_control_connected") == connected

    await until(is_so, f"connected: {connected}")


async def test_kill_9_of_the_control_plane(api: ApiServer, namespace: str, backends: list[GrpcBackend]) -> None:
    """Two sidecars and the command as its users run it. What changes meanwhile arrives with the next control plane."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with running(Plane(api.kubeconfig, limits=None)) as plane:
        async with running(make_sidecar(plane.port)) as one, running(make_sidecar(plane.port)) as two:
            async with under_load(one, service.name) as load, under_load(two, service.name) as other_load:
                plane.kill()
                await answering_from_memory(one, load, {"a", "b"})
                service.replace(a, c)
                async with running(Plane(api.kubeconfig, limits=None, xds=plane.address)):
                    await served_by(load, {"b", "c"})
                    await served_by(other_load, {"b", "c"})


async def test_sigterm_ends_streams_in_peace(api: ApiServer, namespace: str, backends: list[GrpcBackend]) -> None:
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with running(Plane(api.kubeconfig)) as plane, running(make_sidecar(plane.port)) as sidecar:
        async with under_load(sidecar, service.name) as load:
            await asyncio.to_thread(plane.stop)
            await answering_from_memory(sidecar, load, {"a", "b"})
            assert "closed the connection" not in sidecar.stderr, "an end that was announced is no failure"
            service.replace(a, c)
            async with running(Plane(api.kubeconfig, xds=plane.address)):
                await served_by(load, {"b", "c"})


async def test_a_frozen_control_plane(api: ApiServer, namespace: str, backends: list[GrpcBackend]) -> None:
    """Its kernel goes on accepting. A name that nobody has asked for yet shows that it is dead: another is tried."""
    a, b, c = backends
    service, other = Service(api, namespace, a, b), Service(api, namespace, a, short="other")
    async with running(Plane(api.kubeconfig)) as frozen, running(Plane(api.kubeconfig)) as plane:
        async with front(frozen.port) as place, running(make_sidecar(place.port)) as sidecar:
            async with under_load(sidecar, service.name) as load:
                frozen.signal(signal.SIGSTOP)
                try:
                    service.replace(a, c)
                    place.upstream = (HOST, plane.port)
                    assert "the control plane has not answered" in await failure(sidecar, other.name)
                    await served_by(load, {"a", "b"})
                    await served_by(load, {"b", "c"})
                    assert "does not answer a PING" in sidecar.stderr
                finally:
                    frozen.signal(signal.SIGCONT)
                async with call_as(sidecar, other.name) as channel:
                    assert await first_answer(channel) == "a"


async def test_a_service_deleted_while_a_sidecar_was_away(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    a, b, _ = backends
    service, doomed = Service(api, namespace, a, b), Service(api, namespace, a, short="doomed")
    async with running(Plane(api.kubeconfig)) as plane, front(plane.port) as place:
        async with running(make_sidecar(place.port)) as sidecar, under_load(sidecar, service.name) as load:
            async with call_as(sidecar, doomed.name) as channel:
                assert await first_answer(channel) == "a"
                await place.cut()
                await eventually_connected(sidecar, False)
                doomed.delete()
                await until(lambda: doomed.name not in plane.get("/debug/config")[1], "the deletion")
                assert await first_answer(channel) == "a", "what is known serves"
                place.accept()
                await until(lambda: doomed.name not in sidecar.admin_request("/config")[1], "the removal")
                assert "says that there is none" in await failure(sidecar, doomed.name)
                doomed.create()
                assert await first_answer(channel) == "a", "the new life"
            await served_by(load, {"a", "b"})


# ---- garbage


async def speak_noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(random.Random(1).randbytes(100_000))
    await writer.drain()


async def speak_http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()


async def speak_broken_http2(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """SETTINGS as it should be, and a header block that cannot be decoded."""
    writer.write(SETTINGS + b"\x00\x00\x05\x01\x04\x00\x00\x00\x01" + b"\xff" * 5)
    await writer.drain()
    await reader.read()


async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(10_000):
        pass


Speaker = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(speak: Speaker) -> AsyncIterator[tuple[int, list[float]]]:
    """A server that is none of ours: its port, and an entry for each connection."""
    accepted: list[float] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(asyncio.get_running_loop().time())
        with contextlib.suppress(OSError):
            await speak(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield server.sockets[0].getsockname()[1], accepted
    finally:
        server.close()


@contextlib.asynccontextmanager
async def gibbering() -> AsyncIterator[tuple[int, list[float]]]:
    """Real gRPC, real streams, and messages of noise."""
    accepted: list[float] = []
    rng = random.Random(2)

    async def serve(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        accepted.append(asyncio.get_running_loop().time())
        async for _ in requests:
            yield rng.randbytes(1_000)

    server = grpc.aio.server()
    method = grpc.stream_stream_rpc_method_handler(serve)
    service = "envoy.service.discovery.v3.AggregatedDiscoveryService"
    handler = grpc.method_handlers_generic_handler(service, {"DeltaAggregatedResources": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    try:
        yield port, accepted
    finally:
        await server.stop(None)


async def test_a_control_plane_that_answers_garbage(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    """A sidecar for each kind of it; they all come back to one that does not."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    speakers = [listening(speak) for speak in (speak_noise, speak_http1, speak_broken_http2, say_nothing)]
    wave = asyncio.Barrier(len(speakers) + 2)
    async with running(Plane(api.kubeconfig)) as plane, asyncio.TaskGroup() as group:
        for speaker in [*speakers, gibbering()]:
            group.create_task(stray(plane.port, service, speaker, wave))
        await wave.wait()
        service.replace(a, c)
        await wave.wait()


async def stray(
    port: int,
    service: Service,
    speaker: contextlib.AbstractAsyncContextManager[tuple[int, list[float]]],
    wave: asyncio.Barrier,
) -> None:
    """Come to know the service, meet the speaker, and come back when all have done so."""
    async with front(port) as place, running(make_sidecar(place.port)) as sidecar, speaker as (there, accepted):
        async with under_load(sidecar, service.name, rate=20) as load:
            await move(place, there)
            await eventually(lambda: len(accepted) > 0, "a connection", 60)
            before = service.endpoints.copy()
            await load.answered(40)
            await served_by(load, before)
            await wave.wait()
            await move(place, port)
            await wave.wait()
            await served_by(load, service.endpoints)


# ---- refusals


def spoil(ads: Ads, name: str) -> list[str]:
    """Four resources that a sidecar cannot use, in place of those that it has."""
    bad_cluster, bad_routes = make_cluster(name), make_routes(name, name)
    bad_cluster.transport_socket.name = "some.tls"
    bad_routes.virtual_hosts[0].routes[0].redirect.host_redirect = "elsewhere"
    ads.put(ENDPOINTS, name, b"\xff\xff")
    ads.put(CLUSTER, name, bad_cluster)
    ads.put(ROUTE, name, bad_routes)
    ads.put(LISTENER, name, b"\xff\xff")
    return [ENDPOINTS, CLUSTER, ROUTE, LISTENER]


async def test_what_a_sidecar_refuses_changes_nothing(backends: list[GrpcBackend]) -> None:
    """A NACK: the good version stays in force, of each of the four kinds; the mended one comes into it."""
    a, b, c = [(HOST, backend.port) for backend in backends]
    name = "voting.shop.svc.cluster.local:8080"
    async with Ads() as ads:
        ads.put_service(name, a, b)
        async with running(make_sidecar(ads.port)) as sidecar, under_load(sidecar, name) as load:
            for type_url in spoil(ads, name):
                await eventually(lambda kind=type_url: kind in refused(ads), f"a refusal of {type_url}")
            await load.answered(100)
            await served_by(load, {"a", "b"})
            assert await metric(sidecar, "gossamer_control_refusals_total") >= 4
            ads.put(LISTENER, name, make_listener(name, name))
            ads.put(ROUTE, name, make_routes(name, name))
            ads.put(CLUSTER, name, make_cluster(name))
            ads.put(ENDPOINTS, name, make_endpoints(name, b, c))
            await served_by(load, {"b", "c"})


def refused(ads: Ads) -> set[str]:
    return {request.type_url for request in ads.requests if request.HasField("error_detail")}


async def test_what_a_real_envoy_refuses_harms_nobody_else(
    api: ApiServer, namespace: str, backends: list[GrpcBackend], tmp_path: Path
) -> None:
    """Its outbound port is taken, so that it cannot open the listener that it is given."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    port = free_port()
    async with listening(say_nothing) as (taken, _), running(Plane(api.kubeconfig)) as plane:
        async with running(make_sidecar(plane.port)) as sidecar, under_load(sidecar, service.name) as load:
            metadata = {"OUTBOUND_PORT": str(taken), "NAMESPACE": namespace}
            async with running(start_envoy(tmp_path, plane.port, metadata)):
                await until(lambda: plane.metric('controlplane_xds_nacks_total{type="lds"}') >= 1, "the refusal")
                await until(lambda: "refused by" in plane.stderr, "a line in the log")
                service.replace(a, c)
                await served_by(load, {"b", "c"})
                assert plane.metric('controlplane_xds_nacks_total{type="lds"}') == 1, "it is not offered again"
            metadata["OUTBOUND_PORT"] = str(port)
            async with running(start_envoy(tmp_path, plane.port, metadata)):
                options = [("grpc.default_authority", service.name)]
                async with grpc.aio.insecure_channel(f"{HOST}:{port}", options=options) as channel:
                    assert await first_answer_of_envoy(channel) in ("b", "c")
            assert json.loads(plane.get("/debug/config")[1])["nacks"]


async def first_answer_of_envoy(channel: Any) -> str:
    await asyncio.wait_for(channel.channel_ready(), 60)
    return await first_answer(channel)


# ---- its name


def can_mount() -> bool:
    argv = ["unshare", "--mount", "mount", "--bind", "/dev/null", "/etc/hosts"]
    return shutil.which("unshare") is not None and subprocess.run(argv, capture_output=True).returncode == 0


async def test_its_name_is_looked_up_anew(
    api: ApiServer,
    namespace: str,
    backends: list[GrpcBackend],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sidecar sees an /etc/hosts of the test; the next replica listens on the same port of another address."""
    require(can_mount(), "the right to make a mount namespace (root)")
    a, b, c = backends
    service = Service(api, namespace, a, b)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 gossamer.test\n")
    script = f'mount --bind {hosts} /etc/hosts && exec {shlex.join(command())} "$@"'
    monkeypatch.setenv("GOSSAMER_E2E_PROXY", shlex.join(["unshare", "--mount", "sh", "-c", script, "sidecar"]))
    async with running(Plane(api.kubeconfig)) as plane:
        async with running(make_sidecar(plane.port, host="gossamer.test")) as sidecar:
            async with under_load(sidecar, service.name) as load:
                plane.kill()
                await answering_from_memory(sidecar, load, {"a", "b"})
                service.replace(a, c)
                async with running(Plane(api.kubeconfig, xds=f"127.0.0.2:{plane.port}")):
                    with hosts.open("r+") as file:  # the same inode
                        file.write("127.0.0.2 gossamer.test\n")
                    await served_by(load, {"b", "c"})


# ---- the cache


async def test_a_sidecar_that_restarts_without_any_control_plane(
    api: ApiServer, namespace: str, backends: list[GrpcBackend], tmp_path: Path
) -> None:
    """It serves from its disk, and the next control plane sends nothing of what is there."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    cache = tmp_path / "cache"
    port = free_port()
    async with running(Plane(api.kubeconfig, xds=f"{HOST}:{port}")):
        async with running(make_sidecar(port, "--cache", str(cache))) as sidecar, call_as(sidecar, service.name) as one:
            await first_answer(one)
            await eventually(cache.exists, "the cache")
    async with running(make_sidecar(port, "--cache", str(cache))) as sidecar:
        async with under_load(sidecar, service.name) as load:
            await answering_from_memory(sidecar, load, {"a", "b"})
            async with running(Plane(api.kubeconfig, xds=f"{HOST}:{port}")) as plane:
                await until(lambda: plane.metric("controlplane_xds_subscriptions") == 4, "its four subscriptions")
                assert plane.metric("controlplane_xds_pushes_total") == 0
                service.replace(a, c)
                await served_by(load, {"b", "c"})
