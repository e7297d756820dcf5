"""How a sidecar ends: a native one, and a plain container, with applications that end at once and that take time."""

from __future__ import annotations

import asyncio
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e import processes
from tests.e2e.calls import Load, ask, eventually, new_key, open_channel, path
from tests.e2e.life import call, mesh, sidecar
from tests.e2e.processes import HOST, GrpcBackend, Process, accepts, free_port
from tests.e2e.proxy_process import Proxy, command
from tests.e2e.wire import GOAWAY, Client

pytestmark = pytest.mark.timeout(60)


def addresses(backends: list[GrpcBackend]) -> list[str]:
    return [backend.address for backend in backends]


async def exit_code(proxy: Proxy) -> int:
    return await asyncio.to_thread(proxy.wait)


async def test_a_pre_stop_hook_under_load_loses_nothing(
    backends: list[GrpcBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """New connections are welcome until the hook's time is over; then all are told, and go to the pod's successor."""
    with Proxy(addresses(backends)) as successor:
        monkeypatch.setenv("GOSSAMER_DRAIN_DELAY", "1s")
        with Proxy(addresses(backends)) as old:
            either = f"ipv4:{old.address},{successor.address}"
            async with open_channel(either) as channel, Load(channel, delay_ms=50) as load:
                await load.answered(50)
                with mesh("proxy", "drain", "--admin", old.admin) as hook:
                    await eventually(lambda: old.admin_status("/ready") == 503, "/ready to say that it is draining")
                    with Client(old.address) as late:
                        assert hook.running()
                        assert any(frame.kind == GOAWAY for frame in await asyncio.to_thread(list, late.frames()))
                    assert await asyncio.to_thread(hook.wait) == 0
                    assert hook.stderr == "mesh proxy drain: drained: outbound\n"
                await eventually(lambda: not accepts(old.address), "the listener to be closed")
                await load.answered(100)
                assert old.admin_request("/live") == (200, "live\n")
                await asyncio.to_thread(old.stop)
                await load.answered(100)
    assert load.report() == []


async def test_a_sidecar_s_own_application_is_not_drained_by_the_hook(backends: list[GrpcBackend]) -> None:
    async with sidecar(*backends) as proxy, call(proxy) as channel:
        assert await ask(channel)
        with mesh("proxy", "drain", "--admin", proxy.admin) as hook:
            assert await asyncio.to_thread(hook.wait) == 0
            assert "nothing to drain" in hook.stderr
        assert proxy.admin_status("/ready") == 200
        async with call(proxy) as another:
            assert await ask(channel)
            assert await ask(another)


async def test_a_native_sidecar_ends_with_sigterm(backends: list[GrpcBackend]) -> None:
    """Its application has ended before, so there is nothing to wait for."""
    async with sidecar(*backends) as proxy:
        async with call(proxy) as channel:
            assert await ask(channel)
        proxy.signal(signal.SIGTERM)
        assert await exit_code(proxy) == 0


async def test_a_plain_container_outlives_its_application(
    backends: list[GrpcBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application takes its time after SIGTERM: open calls, new calls, and new connections after a pause."""
    monkeypatch.setenv("GOSSAMER_SHUTDOWN_GRACE", "40s")
    async with sidecar(*backends) as proxy:
        async with call(proxy) as channel:
            slow = asyncio.ensure_future(ask(channel, "slow", b"1500"))
            await asyncio.sleep(0.2)
            proxy.signal(signal.SIGTERM)
            await eventually(lambda: proxy.admin_status("/ready") == 503, "/ready to say that it is draining")
            assert await slow
            assert await ask(channel)
        await asyncio.sleep(1)
        async with call(proxy) as channel:
            assert await ask(channel)
        assert proxy.running()
        assert await exit_code(proxy) == 0


async def test_an_application_that_never_ends_has_its_grace_and_no_more(
    backends: list[GrpcBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOSSAMER_SHUTDOWN_GRACE", "1s")
    monkeypatch.setenv("GOSSAMER_DRAIN_TIMEOUT", "500ms")
    async with sidecar(*backends) as proxy, call(proxy) as channel:
        waiting = asyncio.ensure_future(ask(channel, "wait", new_key().encode()))
        await asyncio.sleep(0.2)
        proxy.signal(signal.SIGTERM)
        await asyncio.sleep(0.2)
        assert await ask(channel)
        assert await exit_code(proxy) == 0
        assert "the time is up" in proxy.stderr
        await asyncio.wait([waiting])
        assert waiting.exception() is not None


async def test_a_job_s_end_waits_for_no_grace(backends: list[GrpcBackend], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_SHUTDOWN_GRACE", "1h")
    async with sidecar(*backends) as proxy:
        async with call(proxy) as channel:
            assert await ask(channel)
        assert await asyncio.to_thread(proxy.admin_request, "/shutdown", "POST") == (202, "shutting down\n")
        assert await exit_code(proxy) == 0


@pytest.mark.parametrize("first", ["SIGTERM", "/shutdown"])
async def test_a_second_signal_ends_at_once(first: str, backends: list[GrpcBackend]) -> None:
    with Proxy(addresses(backends)) as proxy:
        async with open_channel(proxy.address) as channel:
            chat = channel.stream_stream(path("chat"))(timeout=60)
            await chat.write(b"before")
            assert await chat.read() == b"before"
            if first == "SIGTERM":
                proxy.signal(signal.SIGTERM)
            else:
                proxy.admin_request(first, "POST")
                proxy.signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
            proxy.signal(signal.SIGINT)  # so soon it is the same one, as a group of processes gets it
            await asyncio.sleep(0.5)
            assert proxy.running()
            proxy.signal(signal.SIGTERM)
            assert await exit_code(proxy) == 1
            assert "ended at once, as it was told to twice" in proxy.stderr
            chat.cancel()


async def test_two_workers_drain_together(backends: list[GrpcBackend], monkeypatch: pytest.MonkeyPatch) -> None:
    """One Ctrl-C reaches each twice, and is still one."""
    with Proxy(addresses(backends), options=["--workers", "2"]) as proxy:
        async with open_channel(proxy.address) as channel:
            slow = asyncio.ensure_future(ask(channel, "slow", b"1500"))
            await asyncio.sleep(0.3)
            proxy.signal(signal.SIGINT)
            proxy.signal(signal.SIGTERM)
            assert await slow
        assert await exit_code(proxy) == 0


async def test_two_workers_are_drained_and_ended_by_one_s_admin_port(
    backends: list[GrpcBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections to both, and a hook, and then a job, that know of one."""
    monkeypatch.setenv("GOSSAMER_DRAIN_DELAY", "0s")
    with Proxy(addresses(backends), options=["--workers", "2"]) as proxy, ExitStack() as stack:
        other = f"{HOST}:{proxy.admin_port + 1}"
        await eventually(lambda: accepts(other), "the other worker")
        clients = [stack.enter_context(Client(proxy.address)) for _ in range(16)]
        with mesh("proxy", "drain", "--admin", proxy.admin) as hook:
            for client in clients:
                assert any(frame.kind == GOAWAY for frame in await asyncio.to_thread(list, client.frames()))
            assert await asyncio.to_thread(hook.wait) == 0
            assert hook.stderr == "mesh proxy drain: drained: outbound\n"
        await eventually(lambda: not accepts(proxy.address), "both listeners to be closed")
        proxy.admin_port += 1
        assert await asyncio.to_thread(proxy.admin_request, "/shutdown", "POST") == (202, "shutting down\n")
        assert await exit_code(proxy) == 0


def test_a_signal_that_comes_before_the_workers_can_obey(backends: list[GrpcBackend]) -> None:
    """It waits for them: neither does it kill one, nor is it lost."""
    where = ["--listen", f"{HOST}:{free_port()}", "--to", backends[0].address, "--workers", "2"]
    with Process([*command(), *where]) as proxy:
        children = Path(f"/proc/{proxy.popen.pid}/task/{proxy.popen.pid}/children")
        processes.eventually(lambda: len(children.read_text().split()) == 2, "the workers to be there")
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0, proxy.stderr
