"""The sidecar with a control plane: destinations on demand, with real grpcio clients, servers and a real ADS server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from proxy.control.messages import ENDPOINTS, LISTENER
from tests.e2e.ads import Ads
from tests.e2e.ads_process import AdsProcess
from tests.e2e.calls import OPTIONS, Channel, Load, ask, eventually, unary
from tests.e2e.controlplane_process import ControlPlane, write_backends
from tests.e2e.processes import HOST, GrpcBackend, free_port
from tests.e2e.proxy_process import Proxy, run_to_end
from tests.e2e.wire import END_STREAM, HEADERS, Client
from tests.unit.proxy.control.resources import make_endpoints, make_listener

pytestmark = pytest.mark.timeout(120)

NAME = "voting.emojivoto.svc.cluster.local:8080"
UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED


@asynccontextmanager
async def sidecar(control_plane: int, *options: str, until: str = "/ready") -> AsyncIterator[Proxy]:
    """A proxy of its own; the loop goes on meanwhile, since the ADS server lives in it."""
    proxy = Proxy(options=["--control-plane", f"{HOST}:{control_plane}", *options], until=until)
    await asyncio.to_thread(proxy.__enter__)
    try:
        yield proxy
    finally:
        await asyncio.to_thread(proxy.__exit__, None, None, None)


def call_as(proxy: Proxy, authority: str) -> Channel:
    return grpc.aio.insecure_channel(proxy.address, options=[*OPTIONS, ("grpc.default_authority", authority)])


def where(*backends: GrpcBackend) -> list[tuple[str, int]]:
    return [(HOST, backend.port) for backend in backends]


async def metric(proxy: Proxy, name: str) -> list[float]:
    """Every sample of a metric."""
    text = (await asyncio.to_thread(proxy.admin_request, "/metrics"))[1]
    return [float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)]


async def failure(channel: Channel) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await unary(channel, "unary")
    return error.value.code(), str(error.value.details())


async def test_what_is_called_becomes_known(backends: list[GrpcBackend]) -> None:
    async with Ads() as ads:
        ads.put_service(NAME, *where(*backends), alias="voting:8080")
        async with sidecar(ads.port, "--namespace", "emojivoto", "--zone", "z1", "--node-name", "n1") as proxy:
            async with call_as(proxy, "Voting:8080") as channel:
                await ask(channel)
                await reaches(channel, {"a", "b", "c"})
            node = ads.requests[0].node
            assert (node.user_agent_name, node.id.rpartition(".")[2], node.locality.zone) == (
                "gossamer",
                "emojivoto",
                "z1",
            )
            config = json.loads((await asyncio.to_thread(proxy.admin_request, "/config"))[1])
            assert config["control_plane"]["connected"] is True
            assert [found["name"] for found in config["destinations"]] == ["voting:8080"]
            assert [found["address"] for found in config["clusters"][NAME]] == [one.address for one in backends]
            assert await metric(proxy, "gossamer_control_connected") == [1.0]
            assert await metric(proxy, "gossamer_destinations_known") == [1.0]


async def test_two_names_of_one_service_share_its_connections(backends: list[GrpcBackend]) -> None:
    async with Ads() as ads:
        ads.put_service(NAME, *where(*backends), alias="voting:8080")
        ads.put(LISTENER, "voting.emojivoto:8080", make_listener("voting.emojivoto:8080", NAME))
        async with sidecar(ads.port) as proxy:
            for authority in ("voting:8080", "voting.emojivoto:8080"):
                async with call_as(proxy, authority) as channel:
                    for _ in range(20):
                        await ask(channel)
            assert await metric(proxy, "gossamer_endpoint_ready") == [1.0] * 3
            assert sum(await metric(proxy, 'tcp_open_total{direction="outbound",peer="dst"}')) <= 3 + 1


async def test_an_unknown_authority(backends: list[GrpcBackend]) -> None:
    async with Ads() as ads, sidecar(ads.port) as proxy:
        async with call_as(proxy, "nowhere:80") as channel:
            code, details = await failure(channel)
            assert code is UNIMPLEMENTED
            assert details.endswith("nowhere:80 (the control plane says that there is none)")
            ads.put_service("nowhere:80", *where(backends[0]))
            await eventually(lambda: "nowhere:80" in {name for names in ads.sent[1:] for name in names}, "the answer")
            assert await answered(channel) == "a"


async def reaches(channel: Channel, names: set[str]) -> None:
    """Until each has answered; one whose first answer was slow by chance is asked less for some seconds."""
    seen: set[str] = set()
    async with asyncio.timeout(60):
        while seen != names:
            seen.add(await ask(channel))


async def answered(channel: Channel) -> str:
    """Ask until there is an answer."""
    while True:
        try:
            return await ask(channel)
        except grpc.aio.AioRpcError as error:
            if error.code() not in (UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE):
                raise


async def test_without_any_control_plane_the_error_says_so() -> None:
    port = free_port()
    async with sidecar(port, until="/live") as proxy:
        assert (await asyncio.to_thread(proxy.admin_request, "/ready"))[0] == 503
        async with call_as(proxy, "voting:8080") as channel:
            code, details = await failure(channel)
        assert code is grpc.StatusCode.UNAVAILABLE
        assert "voting:8080 (the control plane cannot be reached: connection refused)" in details
        await eventually_ready(proxy)


async def eventually_ready(proxy: Proxy) -> None:
    """A control plane that is down does not hold a pod up for ever."""
    deadline = time.monotonic() + 30
    while (await asyncio.to_thread(proxy.admin_request, "/ready"))[0] != 200:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def test_endpoints_come_and_go_under_load_without_a_failure(mortals: list[GrpcBackend]) -> None:
    first, second, third = mortals
    async with Ads() as ads:
        ads.put_service(NAME, *where(first, second))
        async with sidecar(ads.port) as proxy, call_as(proxy, NAME) as channel, Load(channel) as load:
            await load.answered_by("a")
            for _ in range(5):
                ads.put(ENDPOINTS, NAME, make_endpoints(NAME, *where(second, third)))
                await load.answered_by("c")
                ads.put(ENDPOINTS, NAME, make_endpoints(NAME, *where(third, first)))
                await load.answered_by("a")
            ads.put(ENDPOINTS, NAME, make_endpoints(NAME, *where(third)))
            await eventually(lambda: load.answers[-20:] == ["c"] * 20, "one backend to have it all")
            first.kill()
            second.kill()
            await load.answered(100)
        assert load.report() == []


async def test_a_service_that_moves_to_others_under_load(mortals: list[GrpcBackend]) -> None:
    """All endpoints at once, and the old ones then die."""
    async with Ads() as ads:
        ads.put_service(NAME, *where(mortals[0]))
        async with sidecar(ads.port) as proxy, call_as(proxy, NAME) as channel, Load(channel) as load:
            await load.answered(50)
            ads.put(ENDPOINTS, NAME, make_endpoints(NAME, *where(mortals[1], mortals[2])))
            await eventually(lambda: not {"a"} & set(load.answers[-50:]), "the old one to have none")
            mortals[0].kill()
            await load.answered(100)
        assert load.report() == []


async def test_the_control_plane_dies_under_load(mortals: list[GrpcBackend]) -> None:
    """Traffic goes on, also with new connections and headers; what was unknown is asked for once it is back."""
    addresses = [backend.address for backend in mortals]
    with AdsProcess({NAME: addresses}) as ads:
        async with sidecar(ads.port) as proxy, call_as(proxy, NAME) as channel, Load(channel) as load:
            await load.answered(50)
            ads.kill()
            await load.answered(100)
            async with call_as(proxy, NAME) as other:
                for number in range(50):
                    await ask(other, metadata=(("e2e-number", str(number)),))
            async with call_as(proxy, "web:80") as other:
                assert "cannot be reached" in (await failure(other))[1]
                with AdsProcess({NAME: addresses[:1], "web:80": addresses[1:]}, ads.port):
                    assert await answered(other) in ("b", "c")
                    await eventually(lambda: load.answers[-30:] == ["a"] * 30, "the new endpoints")
        assert load.report() == []


async def test_with_our_control_plane(tmp_path: Path, backends: list[GrpcBackend]) -> None:
    """All names that DNS would resolve for this pod, the pods' names in metrics, and kill -9 under load."""
    write_backends(tmp_path, "voting", [backend.address for backend in backends])
    control_plane = ControlPlane(tmp_path)
    with contextlib.closing(control_plane):
        await asyncio.to_thread(control_plane.wait_started)
        async with sidecar(control_plane.port, "--namespace", "demo") as proxy:
            for authority in ("voting:8080", "voting.demo:8080", "voting.demo.svc.cluster.local:8080"):
                async with call_as(proxy, authority) as channel:
                    await reaches(channel, {"a", "b", "c"})
            assert await metric(proxy, "gossamer_endpoint_ready") == [1.0] * 3
            text = (await asyncio.to_thread(proxy.admin_request, "/metrics"))[1]
            pods = set(re.findall(r'request_total{.*dst_namespace="demo".*dst_pod="([^"]*)"', text))
            assert pods == {f"voting-{backend.port}" for backend in backends}
            async with call_as(proxy, "nobody:8080") as channel:
                assert (await failure(channel))[1].endswith("(the control plane says that there is none)")
            async with call_as(proxy, "voting:8080") as channel, Load(channel) as load:
                await load.answered(20)
                control_plane.kill()
                await load.answered(200)
            assert load.report() == []


async def test_a_restart_with_the_cache_needs_no_control_plane(tmp_path: Path, backends: list[GrpcBackend]) -> None:
    cache = tmp_path / "cache"
    async with Ads() as ads:
        ads.put_service(NAME, *where(*backends))
        async with sidecar(ads.port, "--cache", str(cache)) as proxy, call_as(proxy, NAME) as channel:
            await ask(channel)
            await eventually(cache.exists, "the cache")
    async with sidecar(free_port(), "--cache", str(cache)) as proxy, call_as(proxy, NAME) as channel:
        assert await ask(channel) in ("a", "b", "c")


async def test_names_that_nobody_knows_cost_bounded_memory(backends: list[GrpcBackend]) -> None:
    async with Ads() as ads:
        ads.put_service(NAME, *where(backends[0]))
        async with sidecar(ads.port) as proxy, call_as(proxy, NAME) as channel:
            await asyncio.to_thread(ask_for, proxy, range(2_000))
            before = proxy.anon_kib()
            await asyncio.to_thread(ask_for, proxy, range(2_000, 8_000))
            assert proxy.anon_kib() - before < 3_000
            assert (await metric(proxy, "gossamer_control_subscriptions"))[0] <= 1_000
            assert (await metric(proxy, "gossamer_destinations_awaited"))[0] <= 1_000
            assert await answered(channel) == "a"


def ask_for(proxy: Proxy, numbers: range) -> None:
    """One request for each of these names; each is answered, with a failure."""
    with Client(proxy.address) as client:
        for start in range(numbers.start, numbers.stop, 50):
            for number in range(start, start + 50):
                client.authority = f"name-{number}.example:80"
                client.request("/e2e.Echo/unary")
            ended = 0
            while ended < 50:
                frame = client.receive()
                assert frame is not None
                if frame.kind == HEADERS:
                    assert client.decode(frame)["gossamer-error"] in ("unknown-destination", "no-control-plane")
                    ended += bool(frame.flags & END_STREAM)


async def test_two_workers(backends: list[GrpcBackend]) -> None:
    async with Ads() as ads:
        ads.put_service(NAME, *where(*backends))
        async with sidecar(ads.port, "--workers", "2") as proxy:
            async with asyncio.timeout(20):
                while ads.streams < 2:  # the kernel says which of them gets a connection
                    async with call_as(proxy, NAME) as channel:
                        assert await ask(channel) in ("a", "b", "c")
            assert ads.streams == 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--control-plane", "x"], "--control-plane: 'x' is no HOST:PORT"),
        (["--control-plane", "a:1", "--namespace", "A b"], "--namespace: 'A b' is no namespace"),
        (["--control-plane", "a:1", "--cache", "/nowhere/x"], "--cache: '/nowhere/x' is no file in a directory"),
        (["--control-plane", "a:1", "--control-plane-ca", "/nowhere"], "--control-plane-ca: '/nowhere' cannot be read"),
        (["--control-plane", "a:1", "--to", "b:1"], "leave --to out"),
        (["--zone", "z"], "--zone needs --control-plane HOST:PORT"),
    ],
)
def test_wrong_usage(options: list[str], sentence: str) -> None:
    code, _, stderr = run_to_end("--listen", f"{HOST}:0", *options)
    assert code == 2
    assert sentence in stderr.splitlines()[-1]
