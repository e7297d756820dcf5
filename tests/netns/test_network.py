"""The harness itself: what tests of interception take for granted of a network without any mesh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.processes import ROOT
from tests.netns.network import Network, require_namespaces
from tests.netns.station import ask

STATION = (sys.executable, str(ROOT / "tests" / "netns" / "station.py"))
PAIR, SELF = {4: "10.96.0.1", 6: "fd96::1"}, {4: "10.96.0.2", 6: "fd96::2"}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    """Pods `a` and `b`; a Service of both, and one of `a` alone."""
    require_namespaces()
    with Network() as made, ExitStack() as stack:
        pods = [made.add_pod(name) for name in "ab"]
        made.add_service(PAIR, 80, pods, 8080)
        made.add_service(SELF, 80, pods[:1], 8080)
        for pod in pods:
            station = stack.enter_context(pod.start([*STATION, pod.name, "0.0.0.0:8080", ":::8080"]))
            assert station.read_line() == "ready", station.stderr
        yield made


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_sees_the_pod_that_calls_it(network: Network, version: int) -> None:
    one, other = network.pods
    with one.connect((other.addresses[version], 8080)) as connection:
        (record,) = ask(connection, "here")
    assert (record["name"], record["peer"][0]) == ("b", one.addresses[version])


@pytest.mark.parametrize("version", [4, 6])
def test_a_service_reaches_each_of_its_pods(network: Network, version: int) -> None:
    reached = set()
    for _ in range(60):
        with network.pods[0].connect((PAIR[version], 80)) as connection:
            reached.add(ask(connection, "here")[0]["name"])
    assert reached == {"a", "b"}


@pytest.mark.parametrize("version", [4, 6])
def test_a_pod_reaches_itself_by_a_service(network: Network, version: int) -> None:
    with network.pods[0].connect((SELF[version], 80)) as connection:
        assert ask(connection, "here")[0]["name"] == "a"


def test_programs_run_in_the_pod_as_the_user_named(network: Network) -> None:
    script = "id -u; id -g; grep -c fd770000000000000000000000000002 /proc/net/if_inet6"
    with network.pods[0].start(["sh", "-c", script], 2102, 2103) as process:
        assert [process.read_line() for _ in range(3)] == ["2102", "2103", "1"]


def test_the_machines_own_namespace_is_left_alone() -> None:
    require_namespaces()
    before = Path("/proc/self/net/dev").read_text().count("\n")
    with Network() as network:
        network.add_pod("a")
        assert Path("/proc/self/net/dev").read_text().count("\n") == before
        held = [namespace.pid for namespace in (network.node, *network.pods)]
    assert not any(Path(f"/proc/{pid}").exists() for pid in held)
