"""What the attacks share: two grpcio backends, the honest client, and for the downstream side one proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.abuse.scene import Honest, Scene
from tests.e2e.processes import GrpcBackend
from tests.e2e.proxy_process import Proxy


@pytest.fixture(scope="package")
def addresses() -> Iterator[list[str]]:
    """Of two real grpcio servers."""
    with ExitStack() as stack:
        yield [stack.enter_context(GrpcBackend(name)).address for name in ("a", "b")]


@pytest.fixture(scope="package")
def honest() -> Iterator[Honest]:
    with Honest() as process:
        yield process


@pytest.fixture(scope="module")
def scene(addresses: list[str], honest: Honest) -> Iterator[Scene]:
    """One proxy for all attacks of a module: it must survive them all, and end well."""
    with Proxy(addresses) as proxy:
        made = Scene(proxy, honest)
        with made.attacked("none"):
            pass
        yield made
        honest.ask("leave")
