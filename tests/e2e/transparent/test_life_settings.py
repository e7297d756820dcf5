"""Settings of a sidecar in a pod: read at the start, and anew when their file changes, for both directions.

What is looked at is `max_connection_age`, by which clients that stay connected find their way to new pods.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mesh.contract import ADMIN_PORT, PROXY_UID
from tests.e2e import proxy_process
from tests.e2e.processes import HOST, eventually
from tests.e2e.transparent.ending import Load, start_server
from tests.e2e.transparent.scene import MESH, Meshed, run
from tests.netns.network import Network, Pod, require_namespaces

RATE = 50  # of each kind, a second
YOUNG = "settings: {max_connection_age: 1s}\n"


def add_sidecar(stack: ExitStack, pod: Pod, config: Path) -> Meshed:
    pod.run([*MESH, "proxy", "init"], check=True)
    options = ["--intercept", "--config", str(config), "--admin", f"{HOST}:{ADMIN_PORT}"]
    sidecar = stack.enter_context(pod.start([*proxy_process.command(), *options], PROXY_UID, PROXY_UID))
    one = Meshed(pod, sidecar, None)
    eventually(one.is_ready, "the sidecar")
    return one


@pytest.fixture
def network() -> Iterator[Network]:
    require_namespaces()
    with Network() as made:
        yield made


def test_connections_grow_old_in_both_directions_once_they_are_told_to(network: Network, tmp_path: Path) -> None:
    """HTTP/1 and HTTP/2, of the application and of others, without a request that fails; raw connections stay."""
    config = tmp_path / "settings.yaml"
    config.write_text("settings: {}\n")
    with ExitStack() as stack:
        client, server = (add_sidecar(stack, network.add_pod(name), config) for name in ("client", "server"))
        start_server(stack, server.pod, 0.0, "")

        def count(one: Meshed, direction: str) -> float:
            return one.metric(f'tcp_open_total{{direction="{direction}",peer="src"')

        with Load(client.pod, RATE, server.pod.addresses[4]) as load:
            eventually(lambda: count(server, "inbound") > 2, "connections of each kind")
            config.write_text(YOUNG)
            for one in (client, server):
                eventually(lambda one=one: "configuration reloaded" in one.sidecar.stderr, "the reload")  # type: ignore[misc]
            before = count(client, "outbound"), count(server, "inbound")
            eventually(lambda: count(client, "outbound") > before[0] + 4, "the application's to be made anew", 60)
            eventually(lambda: count(server, "inbound") > before[1] + 4, "others' to be made anew", 60)
            found = load.finish()
    assert found.failures == {"get": [], "post": [], "grpc": []}
    assert [life["end"] for life in found.lives] == [""]


def test_a_wrong_file_is_said_and_the_old_settings_stay(network: Network, tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text(YOUNG)
    with ExitStack() as stack:
        one = add_sidecar(stack, network.add_pod("pod"), config)
        config.write_text("clusters: []\n")
        said = "the configuration in force is kept: "
        eventually(lambda: said in one.sidecar.stderr, "a line about it")
        assert "there is no field 'clusters' here; there are settings" in one.sidecar.stderr
        assert '"max_connection_age_s": 1' in one.admin("/config")[1]
        done = run(one.pod, [*proxy_process.command(), "--intercept", "--config", str(config)])
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
