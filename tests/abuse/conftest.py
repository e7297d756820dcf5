"""What the attacks share: two grpcio backends, the honest client, and for the downstream side one proxy."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.abuse.attacker import ATTACKED
from tests.abuse.pods import Pods
from tests.abuse.scene import REPORT, Honest, Scene
from tests.abuse.spare_time import list_threads, set_policy
from tests.e2e.processes import HOST, GrpcBackend, free_port
from tests.e2e.proxy_process import Proxy, write_config
from tests.netns.network import require_namespaces


@pytest.fixture(scope="package")
def addresses() -> Iterator[list[str]]:
    """Of two real grpcio servers."""
    with ExitStack() as stack:
        yield [stack.enter_context(GrpcBackend(name)).address for name in ("a", "b")]


@pytest.fixture(scope="package")
def honest() -> Iterator[Honest]:
    with Honest() as process:
        yield process


@pytest.fixture(scope="package")
def attacked() -> Iterator[str]:
    """The address of another, for the attackers alone."""
    with GrpcBackend("c") as backend:
        if REPORT:
            set_policy(list_threads(backend.popen.pid), os.SCHED_IDLE)
        yield backend.address


@pytest.fixture
def config(addresses: list[str], attacked: str, tmp_path: Path) -> Path:
    """A proxy.yaml that leads attackers and honest clients to their own servers."""
    return write_apart(tmp_path, addresses, attacked)


def write_apart(folder: Path, addresses: list[str], attacked: str) -> Path:
    where = f"{HOST}:{free_port()}", f"{HOST}:{free_port(4)}"
    routes = f"  - match: {{authority: {ATTACKED}}}\n    cluster: {ATTACKED}\n  - cluster: good\n"
    return write_config(folder / "proxy.yaml", *where, {"good": addresses, ATTACKED: [attacked]}, routes)


@pytest.fixture(scope="module")
def scene(
    addresses: list[str], attacked: str, honest: Honest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """One proxy for all attacks of a module: it must survive them all, and end well."""
    config = write_apart(tmp_path_factory.mktemp("scene"), addresses, attacked)
    with Proxy(config=config) as proxy:
        made = Scene(proxy, honest)
        with made.attacked("none"):
            pass
        yield made
        honest.ask("leave")


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    """One intercepting sidecar for all attacks of a module: it must survive them all, and end well."""
    require_namespaces()
    with Pods(tmp_path_factory.mktemp("pods")) as made:
        with made.attacked("none, in pods"):
            pass
        yield made
