"""What a reload changes besides endpoints, and what /ready says where a cluster has nobody to send to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.calls import Channel, ask, eventually, open_channel
from tests.e2e.processes import HOST, GrpcBackend, free_port
from tests.e2e.proxy_process import Proxy, write_config
from tests.e2e.wire import GOAWAY, Client

pytestmark = pytest.mark.timeout(60)


def write(path: Path, clusters: dict[str, Sequence[str]], settings: str = "", ports: Sequence[int] = ()) -> Path:
    listen, admin = ports or (free_port(), free_port())
    write_config(path, f"{HOST}:{listen}", f"{HOST}:{admin}", clusters)
    with path.open("a") as file:
        file.write(f"settings: {{{settings}}}\n")
    return path


async def test_settings_are_reloaded(tmp_path: Path, backends: list[GrpcBackend]) -> None:
    """An idle connection that was made before has the new timeout too."""
    clusters = {"a": [backends[0].address]}
    config = write(tmp_path / "proxy.yaml", clusters)
    with Proxy(config=config) as proxy, Client(proxy.address) as client:
        write(config, clusters, "idle_timeout: 1s", (proxy.port, proxy.admin_port))
        assert any(frame.kind == GOAWAY for frame in client.frames())


async def test_a_reload_says_what_takes_a_restart(tmp_path: Path, backends: list[GrpcBackend]) -> None:
    clusters = {"a": [backends[0].address]}
    config = write(tmp_path / "proxy.yaml", clusters)
    with Proxy(config=config) as proxy:
        write(config, clusters, "", (free_port(), proxy.admin_port))
        await eventually(lambda: "listen changed in the file, which takes a restart" in proxy.stderr, "a warning")
        assert f'"port": {proxy.port}' in proxy.admin_request("/config")[1]


async def test_a_dead_dependency_does_not_make_the_proxy_unready(tmp_path: Path, backends: list[GrpcBackend]) -> None:
    clusters = {"a": [backends[0].address], "dead": [f"{HOST}:{free_port()}"]}
    with Proxy(config=write(tmp_path / "proxy.yaml", clusters)) as proxy:
        assert proxy.admin_status("/ready") == 200
        async with open_channel(proxy.address) as channel:
            assert await ask(channel) == "a"


async def test_ready_stays_when_all_backends_go(mortals: list[GrpcBackend]) -> None:
    with Proxy([mortals[0].address]) as proxy:
        mortals[0].kill()
        await eventually(lambda: is_gone(proxy.admin_request("/metrics")[1]), "the metric to say that it is gone")
        assert proxy.admin_request("/ready") == (200, "ready\n")


def is_gone(metrics: str) -> bool:
    return any("endpoint_ready{" in line and line.endswith(" 0") for line in metrics.splitlines())


async def test_names_and_addresses_beside_each_other(tmp_path: Path, backends: list[GrpcBackend]) -> None:
    """A name, and one that does not resolve, in a cluster with an address; requests may come from the first moment."""
    port = backends[0].address.rsplit(":", 1)[1]
    endpoints = [f"localhost:{port}", "nowhere.invalid:1", backends[1].address]
    with Proxy(config=write(tmp_path / "proxy.yaml", {"a": endpoints}), until="/live") as proxy:
        async with open_channel(proxy.address) as channel:
            assert await ask(channel) in ("a", "b")
            await eventually_answered_by(channel, {"a", "b"})


async def eventually_answered_by(channel: Channel, names: set[str]) -> None:
    seen: set[str] = set()
    while seen != names:
        seen.add(await ask(channel))
