from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.interception.scene import Scene
from tests.netns.network import Namespace, require_namespaces
from tests.requirement import require

BACKENDS = ("nft", "legacy")


def require_backend(backend: str) -> None:
    """Skip, or fail under CI, where the kernel or the machine lacks one of the two kinds of tables."""
    require_namespaces()
    probe = Namespace()
    try:
        for family in ("iptables", "ip6tables"):
            program = f"{family}-{backend}-restore"
            require(program, f"{program} is missing: apt-get install iptables")
            done = probe.run([program, "--noflush"], input="*nat\nCOMMIT\n")
            require(done.returncode == 0, f"{program} does not work with this kernel: {done.stderr.strip()}")
    finally:
        probe.close()


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    require_backend(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def scene(backend: str) -> Iterator[Scene]:
    with Scene(backend) as made:
        yield made


@pytest.fixture
def pod() -> Iterator[Namespace]:
    """A namespace that nobody has written rules in."""
    require_namespaces()
    made = Namespace()
    yield made
    made.close()


@pytest.fixture(params=(4, 6), ids=("ipv4", "ipv6"))
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)
