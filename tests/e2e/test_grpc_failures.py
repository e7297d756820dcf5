"""What users see when backends restart, die, hang or are not there, and when the proxy itself reloads or drains.

All with real grpcio on both sides, most of it under a steady load. Lost calls are counted, not timed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from tests.e2e.calls import Channel, Load, ask, eventually, new_key, open_channel, path, unary
from tests.e2e.processes import HOST, GrpcBackend, accepts, free_port
from tests.e2e.proxy_process import Proxy, write_config
from tests.e2e.wire import Server

pytestmark = pytest.mark.timeout(120)

UNAVAILABLE, DEADLINE_EXCEEDED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.fixture
def own_proxy(mortals: list[GrpcBackend]) -> Iterator[Proxy]:
    """A proxy for one test alone."""
    with Proxy([backend.address for backend in mortals]) as running:
        yield running


async def end(backend: GrpcBackend) -> None:
    """Wait for the process without holding up the load."""
    await eventually(lambda: not backend.running(), f"the end of backend {backend.name}")


# grpcio's server now and then answers a call with this that came just as it began to stop; without a proxy too.
STOPPING = {"CANCELLED: CANCELLED", "UNAVAILABLE: Cancelling all calls"}


async def test_graceful_restarts_under_load_lose_nothing(own_proxy: Proxy, mortals: list[GrpcBackend]) -> None:
    """Each backend in turn sends GOAWAY, finishes, exits, and comes back: a rolling update."""
    with ExitStack() as stack:
        async with open_channel(own_proxy.address) as channel, Load(channel) as load:
            await load.answered(100)
            for backend in mortals:
                backend.signal(signal.SIGTERM)
                await end(backend)
                stack.enter_context(await asyncio.to_thread(GrpcBackend, backend.name, backend.port))
                await load.answered_by(backend.name)
        assert set(load.report()) <= STOPPING


async def test_connections_that_come_of_age_lose_nothing() -> None:
    """Backends end each connection by GOAWAY after 300 ms, as many servers do after minutes."""
    with ExitStack() as stack:
        backends = [stack.enter_context(GrpcBackend(name, max_connection_age_ms=300)) for name in "ab"]
        proxy = stack.enter_context(Proxy([backend.address for backend in backends]))
        async with open_channel(proxy.address) as channel, Load(channel) as load:
            await load.answered(600)
        assert load.report() == []


async def test_a_killed_backend_costs_only_what_it_had(mortals: list[GrpcBackend], own_proxy: Proxy) -> None:
    """kill -9: calls in flight on it may fail, with UNAVAILABLE; no call that began after the proxy has seen it may."""
    async with open_channel(own_proxy.address) as channel, Load(channel) as load:
        await load.answered(200)
        in_flight = set(load.open)
        mortals[1].kill()
        await eventually(lambda: f"{mortals[1].address}: " in own_proxy.stderr, "the proxy to see it")
        may_fail = in_flight | set(range(max(in_flight, default=0), load.started))
        after = await load.answered(400)
    assert load.failures.keys() <= may_fail, load.report()
    assert {error.code() for error in load.failures.values()} <= {UNAVAILABLE}
    assert after["b"] <= len(may_fail)


async def test_a_backend_that_comes_back_is_used_again(mortals: list[GrpcBackend], own_proxy: Proxy) -> None:
    """What it cost to lose calls with the process that is gone is not held against the next one: nobody is busy."""
    async with open_channel(own_proxy.address) as channel:
        async with Load(channel, rate=100, delay_ms=400) as load:
            await load.answered_by("b")
            await load.answered(50)
            mortals[1].kill()
            await load.answered(50)
        assert load.failures
        with GrpcBackend("b", mortals[1].port):
            async with Load(channel, rate=50, delay_ms=0) as load:
                await load.answered_by("b", 30)


async def assert_fails_fast(address: str) -> None:
    """UNAVAILABLE long before the deadline, with a message that says what is the matter; no call in between hangs."""
    async with open_channel(address) as channel:
        for _ in range(3):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(channel, timeout=20)
            assert caught.value.code() is UNAVAILABLE, caught.value
            message = (caught.value.details() or "").lower()
            assert any(word in message for word in ("endpoint", "connect", "backend")), message


async def test_all_backends_gone(mortals: list[GrpcBackend], own_proxy: Proxy) -> None:
    async with open_channel(own_proxy.address) as channel:
        await ask(channel)
    for backend in mortals:
        backend.kill()
    await assert_fails_fast(own_proxy.address)
    with GrpcBackend("a", mortals[0].port):
        async with open_channel(own_proxy.address) as channel, Load(channel, rate=20) as load:
            await load.answered(10)


async def test_connections_refused_from_the_start() -> None:
    with Proxy([f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"], until="/live") as proxy:
        await assert_fails_fast(proxy.address)


async def test_a_black_hole_alone_costs_deadlines_and_nothing_else() -> None:
    """It accepts connections and never says a word: neither an endless call nor an early lie."""
    with Server(silent=True) as hole, Proxy([hole.address], until="/live") as proxy:
        async with open_channel(proxy.address) as channel:
            errors = await asyncio.gather(*(ask(channel, timeout=0.4) for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in errors} == {grpc.aio.AioRpcError}
        codes = {error.code() for error in errors if isinstance(error, grpc.aio.AioRpcError)}
        assert codes <= {UNAVAILABLE, DEADLINE_EXCEEDED}


async def test_a_black_hole_among_good_backends_is_left_alone(backends: list[GrpcBackend]) -> None:
    """It answers HTTP/2 but no call. The first few calls run into their deadlines, then nearly none does."""
    with Server() as hole, Proxy([hole.address, backends[0].address, backends[1].address]) as proxy:
        async with open_channel(proxy.address) as channel:
            for _ in range(300):
                await asyncio.gather(ask(channel, "unary", timeout=0.5), return_exceptions=True)
                if hole.resets:
                    break
            missed = 0
            for _ in range(300):
                outcome = (await asyncio.gather(ask(channel, "unary", timeout=0.5), return_exceptions=True))[0]
                missed += isinstance(outcome, BaseException)
            assert missed <= 15


@pytest.fixture
def listen() -> tuple[str, str]:
    return f"{HOST}:{free_port()}", f"{HOST}:{free_port()}"


@pytest.mark.parametrize("way", ["SIGHUP", "changed-file", "replaced-file"])
async def test_a_reload_moves_the_traffic_and_loses_nothing(
    way: str, tmp_path: Path, listen: tuple[str, str], backends: list[GrpcBackend]
) -> None:
    """From backends a and b to b and c; an open stream goes on where it is."""
    config = tmp_path / "proxy.yaml"
    a, b, c = (backend.address for backend in backends)
    write_config(config, *listen, {"echo": [a, b]})
    with Proxy(config=config) as proxy:
        async with open_channel(proxy.address) as channel, Load(channel) as load:
            assert set(await load.answered(100)) <= {"a", "b"}
            chats = [channel.stream_stream(path("chat"))(timeout=60) for _ in range(4)]
            for chat in chats:
                await chat.write(b"before")
                assert await chat.read() == b"before"
            if way == "replaced-file":
                write_config(tmp_path / "new", *listen, {"echo": [b, c]})
                os.replace(tmp_path / "new", config)
            else:
                write_config(config, *listen, {"echo": [b, c]})
            if way == "SIGHUP":
                proxy.signal(signal.SIGHUP)
            await load.answered_by("c", 30)
            await load.answered(30)
            assert set(await load.answered(100)) <= {"b", "c"}
            for chat in chats:
                await chat.write(b"after")
                assert await chat.read() == b"after"
                await chat.done_writing()
                assert await chat.code() is grpc.StatusCode.OK
    assert load.report() == []


async def test_a_wrong_reload_is_refused_and_the_old_configuration_stays(
    tmp_path: Path, listen: tuple[str, str], backends: list[GrpcBackend]
) -> None:
    config = write_config(tmp_path / "proxy.yaml", *listen, {"echo": [backends[0].address]})
    with Proxy(config=config) as proxy:
        async with open_channel(proxy.address) as channel, Load(channel) as load:
            await load.answered(50)
            config.write_text("listen: nowhere\nclusters: 7\n")
            proxy.signal(signal.SIGHUP)
            await eventually(lambda: "proxy.yaml:1" in proxy.stderr, "a message that names the file and the line")
            assert set(await load.answered(100)) == {"a"}
        assert load.report() == []
        assert proxy.admin_status("/ready") == 200


async def test_routes_by_path_and_authority(
    tmp_path: Path, listen: tuple[str, str], backends: list[GrpcBackend]
) -> None:
    """Static routes; what matches none is answered UNIMPLEMENTED, as gRPC wants a 404 to be."""
    a, b, _ = (backend.address for backend in backends)
    routes = """\
  - match: {authority: other.example}
    cluster: b
  - match: {path: {exact: /e2e.Echo/unary}}
    cluster: a
  - match: {path: {prefix: /e2e.Echo/s}}
    cluster: b
"""
    config = write_config(tmp_path / "proxy.yaml", *listen, {"a": [a], "b": [b]}, routes)
    with Proxy(config=config) as proxy:
        async with open_channel(proxy.address) as channel:
            assert await ask(channel, "unary") == "a"
            assert await ask(channel, "slow", b"0") == "b"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, "time_left")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        options = [("grpc.default_authority", "other.example"), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(proxy.address, options=options) as other:
            assert await ask(other, "unary") == "b"


async def test_a_route_timeout_ends_a_call_that_has_no_deadline(
    tmp_path: Path, listen: tuple[str, str], backends: list[GrpcBackend]
) -> None:
    routes = "  - cluster: a\n    timeout: 300ms\n"
    config = write_config(tmp_path / "proxy.yaml", *listen, {"a": [backends[0].address]}, routes)
    with Proxy(config=config) as proxy:
        async with open_channel(proxy.address) as channel:
            key = new_key()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, "wait", key.encode(), timeout=None)
            assert caught.value.code() is DEADLINE_EXCEEDED
        async with open_channel(backends[0].address) as direct:
            assert await unary(direct, "saw_cancel", key.encode(), timeout=20) == key.encode()


@pytest.mark.parametrize("way", ["SIGTERM", "SIGINT", "/shutdown"])
async def test_drain(way: str, mortals: list[GrpcBackend]) -> None:
    """Open calls and streams finish, new connections are refused, the exit code is 0."""
    with Proxy([backend.address for backend in mortals]) as proxy:
        async with open_channel(proxy.address) as channel:
            slow = [asyncio.ensure_future(ask(channel, "slow", b"1500")) for _ in range(20)]
            chat = channel.stream_stream(path("chat"))(timeout=60)
            await chat.write(b"before")
            assert await chat.read() == b"before"
            if way == "/shutdown":
                assert proxy.admin_request(way, "POST")[0] in (200, 202)
            else:
                proxy.signal(getattr(signal, way))
            await eventually(lambda: not accepts(proxy.address), "the listener to be closed")
            assert len(await asyncio.gather(*slow)) == 20
            await chat.write(b"after")
            assert await chat.read() == b"after"
            assert proxy.running()
            await chat.done_writing()
            assert await chat.code() is grpc.StatusCode.OK
        assert await asyncio.to_thread(proxy.wait) == 0


async def test_drain_under_load_loses_nothing(backends: list[GrpcBackend]) -> None:
    """Clients of a proxy that is replaced by another on the same port: its GOAWAY sends them over in time."""
    to = [backend.address for backend in backends]
    with Proxy(to) as old:
        async with open_channel(old.address) as channel, Load(channel, delay_ms=50) as load:
            await load.answered(100)
            old.signal(signal.SIGTERM)
            await eventually(lambda: not accepts(old.address), "the listener to be closed")
            with Proxy(to, port=old.port):
                await load.answered(200)
                assert await asyncio.to_thread(old.wait) == 0
    assert load.report() == []


async def test_shutdown_needs_a_post(proxy: Proxy) -> None:
    """A scraper or a browser that gets every path must not end the proxy."""
    assert proxy.admin_status("/shutdown") == 405
    assert proxy.admin_status("/live") == 200


async def test_a_client_connection_that_breaks_harms_no_other(channel: Channel, proxy: Proxy) -> None:
    async with Load(channel) as load:
        for _ in range(100):
            with socket.create_connection((HOST, proxy.port)) as rude:
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                rude.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        await load.answered(100)
    assert load.report() == []


async def test_two_workers_share_the_port(backends: list[GrpcBackend]) -> None:
    """Connections spread over both, each balances, and one SIGTERM ends them both."""
    to = [backend.address for backend in backends]
    with Proxy(to, options=["--workers", "2"]) as proxy:
        channels = [open_channel(proxy.address) for _ in range(16)]
        names = await asyncio.gather(*(ask(channels[number % 16], "slow", b"5") for number in range(320)))
        assert set(names) == {"a", "b", "c"}
        for opened in channels:
            await opened.close()
