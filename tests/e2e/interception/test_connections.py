"""Real connections over real rules: which of them reach the sidecar's ports, with which original destination."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.interception.scene import OTHER_PORT, OUTSIDE, OWN, PORT, PROXY, SHOP, Scene, init, names, trace
from tests.netns.network import GATEWAYS, Network
from tests.netns.station import ask

LOOPBACK = {4: "127.0.0.1", 6: "::1"}


@pytest.fixture
def restored(scene: Scene) -> Iterator[Scene]:
    """The scene, for a test that gives its pods other settings."""
    yield scene
    for pod in (scene.client, scene.server):
        scene.mesh(pod)


def test_a_call_of_a_service_passes_both_sidecars(scene: Scene, version: int) -> None:
    outbound, inbound, application = trace(scene.client, SHOP[version], 80)
    own, server = scene.client.addresses[version], scene.server.addresses[version]
    assert [outbound["name"], inbound["name"], application["name"]] == ["client-proxy", "server-proxy", "server"]
    assert outbound["original"] == [SHOP[version], 80]
    assert outbound["local"] == [LOOPBACK[version], 4140]
    assert outbound["peer"][0] == own
    assert inbound["original"] == [server, PORT]
    assert inbound["local"] == [server, 4143]
    assert inbound["peer"][0] == own
    assert application["local"] == [server, PORT]


def test_a_call_of_a_pod_passes_both_sidecars(scene: Scene, version: int) -> None:
    server = scene.server.addresses[version]
    outbound, inbound, application = trace(scene.client, server)
    assert [outbound["name"], inbound["name"], application["name"]] == ["client-proxy", "server-proxy", "server"]
    assert outbound["original"] == inbound["original"] == application["local"] == [server, PORT]


def test_an_address_outside_of_the_cluster_is_reached_through_the_sidecar(scene: Scene, version: int) -> None:
    outbound, target = trace(scene.client, OUTSIDE[version])
    assert (outbound["name"], target["name"]) == ("client-proxy", "outside")
    assert outbound["original"] == [OUTSIDE[version], PORT]


def test_loopback_is_untouched(scene: Scene, version: int) -> None:
    assert names(trace(scene.client, LOOPBACK[version])) == ["client"]


def test_a_pod_that_calls_its_own_address_reaches_itself(scene: Scene, version: int) -> None:
    assert names(trace(scene.client, scene.client.addresses[version])) == ["client"]


def test_a_pod_that_calls_itself_by_a_service_is_seen_once_in_each_direction(scene: Scene, version: int) -> None:
    outbound, inbound, application = trace(scene.client, OWN[version], 80)
    own = scene.client.addresses[version]
    assert (outbound["local"][1], inbound["local"][1]) == (4140, 4143)
    assert outbound["original"] == [OWN[version], 80]
    assert inbound["original"] == application["local"] == [own, PORT]
    assert application["name"] == "client"


def test_the_proxy_reaches_its_own_pod_without_meeting_itself(scene: Scene, version: int) -> None:
    assert names(trace(scene.client, scene.client.addresses[version], uid=PROXY)) == ["client"]
    assert names(trace(scene.client, LOOPBACK[version], uid=PROXY)) == ["client"]


def test_what_the_proxy_opens_is_untouched(scene: Scene, version: int) -> None:
    assert names(trace(scene.client, OUTSIDE[version], uid=PROXY)) == ["outside"]
    assert names(trace(scene.client, SHOP[version], 80, uid=PROXY)) == ["server-proxy", "server"]


def test_other_users_are_intercepted_root_too(scene: Scene, version: int) -> None:
    for uid in (0, PROXY - 1, PROXY + 1):
        assert names(trace(scene.client, OUTSIDE[version], uid=uid, gid=PROXY)) == ["client-proxy", "outside"]


def test_a_pod_without_the_mesh_is_received_by_the_sidecar(scene: Scene, version: int) -> None:
    inbound, application = trace(scene.plain, scene.server.addresses[version])
    assert (inbound["name"], application["name"]) == ("server-proxy", "server")
    assert inbound["peer"][0] == scene.plain.addresses[version]


def test_the_nodes_probes_come_by_way_of_the_sidecar(scene: Scene, version: int) -> None:
    inbound, _ = trace(scene.network.node, scene.server.addresses[version])
    assert inbound["original"] == [scene.server.addresses[version], PORT]
    assert inbound["peer"][0] == GATEWAYS[version]


def test_the_admin_port_is_reached_directly(scene: Scene, version: int) -> None:
    server = scene.server.addresses[version]
    (admin,) = trace(scene.plain, server, 4191, line="here")
    assert admin["local"] == admin["original"] == [server, 4191]


def test_a_direct_call_of_the_inbound_port_can_be_told_from_an_intercepted_one(scene: Scene, version: int) -> None:
    server = scene.server.addresses[version]
    inbound, loop = trace(scene.plain, server, 4143)
    assert inbound["original"] == inbound["local"] == [server, 4143]
    assert loop["name"] == "loop"


def test_the_outbound_port_is_closed_to_others(scene: Scene, version: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        scene.plain.connect((scene.server.addresses[version], 4140))


def test_skipped_outbound_ports(restored: Scene, version: int) -> None:
    restored.mesh(restored.client, f"--skip-outbound-ports=25,{OTHER_PORT - 1}-{OTHER_PORT}")
    assert names(trace(restored.client, OUTSIDE[version], OTHER_PORT)) == ["outside"]
    assert names(trace(restored.client, OUTSIDE[version], PORT)) == ["client-proxy", "outside"]
    assert names(trace(restored.plain, restored.client.addresses[version], OTHER_PORT)) == ["client-proxy", "client"]


def test_skipped_inbound_ports(restored: Scene, version: int) -> None:
    restored.mesh(restored.server, f"--skip-inbound-ports={OTHER_PORT}")
    server = restored.server.addresses[version]
    assert names(trace(restored.plain, server, OTHER_PORT)) == ["server"]
    assert names(trace(restored.plain, server, PORT)) == ["server-proxy", "server"]
    assert names(trace(restored.server, OUTSIDE[version], OTHER_PORT)) == ["server-proxy", "outside"]


def test_skipped_subnets_in_both_directions(restored: Scene, version: int) -> None:
    plain = restored.plain.addresses[version]
    for pod in (restored.client, restored.server):
        restored.mesh(pod, f"--skip-subnets=192.0.2.0/24,{plain}")
    assert names(trace(restored.client, plain)) == ["plain"]
    assert names(trace(restored.client, OUTSIDE[version])) == ["client-proxy", "outside"]
    assert names(trace(restored.plain, restored.server.addresses[version])) == ["server"]
    assert names(trace(restored.outside, restored.server.addresses[version])) == ["server-proxy", "server"]


def test_a_group_can_be_the_proxys_too(restored: Scene, version: int) -> None:
    restored.mesh(restored.client, f"--proxy-gid={PROXY}")
    assert names(trace(restored.client, OUTSIDE[version], gid=PROXY)) == ["outside"]
    assert names(trace(restored.client, OUTSIDE[version])) == ["client-proxy", "outside"]


def test_another_uid_can_be_the_proxys(restored: Scene, version: int) -> None:
    restored.mesh(restored.client, "--proxy-uid=1234")
    assert names(trace(restored.client, OUTSIDE[version], uid=1234)) == ["outside"]
    with restored.client.connect((OUTSIDE[version], PORT), PROXY) as connection:
        assert names(ask(connection, "here")) == ["client-proxy"]


def test_only_the_ports_given_are_the_proxys(restored: Scene, version: int) -> None:
    restored.mesh(restored.server, f"--inbound-port={OTHER_PORT}", "--admin-port=4192")
    server = restored.server.addresses[version]
    for port in (PORT, 4143, 4191):
        (record,) = trace(restored.plain, server, port, line="here")
        assert (record["name"], record["local"], record["original"]) == ("server", [server, OTHER_PORT], [server, port])


def test_connections_older_than_the_rules_go_on(backend: str, version: int) -> None:
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        pod, peer = network.add_pod("pod"), network.add_pod("peer")
        ways = []
        for caller, called in ((pod, peer), (peer, pod)):
            address = called.addresses[version], PORT
            listener = stack.enter_context(called.listen(address))
            opened = stack.enter_context(caller.connect(address))
            ways.append((opened, stack.enter_context(listener.accept()[0])))
        init(pod, f"--backend={backend}")
        for ends in ways:
            for one, other in (ends, ends[::-1]):
                one.sendall(b"still here")
                assert other.recv(100) == b"still here"
        with pytest.raises(ConnectionRefusedError):  # a new one is intercepted: nothing listens on 4140
            pod.connect((peer.addresses[version], PORT))


def test_a_second_run_leaves_open_connections_alone(restored: Scene, version: int) -> None:
    with restored.client.connect((OUTSIDE[version], PORT)) as connection:
        assert names(ask(connection, "here")) == ["client-proxy"]
        restored.mesh(restored.client, "--skip-outbound-ports=1-65535")
        assert names(ask(connection, "here")) == ["client-proxy"]
        assert names(trace(restored.client, OUTSIDE[version])) == ["outside"]


def test_after_a_removal_nothing_is_intercepted(restored: Scene, version: int) -> None:
    init(restored.client, "--delete")
    assert names(trace(restored.client, OUTSIDE[version])) == ["outside"]
    assert names(trace(restored.plain, restored.client.addresses[version])) == ["client"]
