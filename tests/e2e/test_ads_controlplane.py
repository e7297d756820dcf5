"""`mesh controlplane` over files, from outside: real gRPC clients, signals, pages, wrong usage."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from controlplane.translate.resource import CDS, EDS, LDS, RDS
from tests.e2e.controlplane_process import ControlPlane, run_to_end, write_service
from tests.e2e.processes import HOST, eventually
from tests.requirement import require
from tests.unit.controlplane.ads.serving import DeltaCall, SotwCall
from tests.unit.controlplane.discovery.table import ENVOY_NODE

VOTING = "voting.demo.svc.cluster.local:8080"


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    write_service(tmp_path, "voting", ["10.1.0.1", "10.1.0.2"])
    return tmp_path


def hosts(response: DeltaDiscoveryResponse | DiscoveryResponse) -> set[str]:
    """The addresses of all assignments of a response."""
    found = set()
    for item in response.resources:
        assignment = ClusterLoadAssignment.FromString(getattr(item, "resource", item).value)
        for locality in assignment.endpoints:
            found |= {e.endpoint.address.socket_address.address for e in locality.lb_endpoints}
    return found


async def told(check: Callable[[], bool]) -> None:
    """What was sent is counted once it was; who hangs up before may keep it from that."""
    await asyncio.to_thread(eventually, check, "the metric")


async def test_a_sidecar_asks_down_the_chain_and_follows_changes(manifests: Path) -> None:
    with ControlPlane(manifests) as plane:
        async with grpc.aio.insecure_channel(plane.address) as channel:
            call = DeltaCall(channel)
            assert list(await call.fetch(LDS, "voting:8080")) == ["voting:8080"]
            assert list(await call.fetch(RDS, VOTING)) == [VOTING]
            assert list(await call.fetch(CDS, VOTING)) == [VOTING]
            await call.send(EDS, [VOTING])
            response = await call.read()
            assert hosts(response) == {"10.1.0.1", "10.1.0.2"}
            await call.ack(response)
            write_service(manifests, "voting", ["10.1.0.2", "10.1.0.3"])
            response = await call.read()
            assert (response.type_url, hosts(response)) == (EDS, {"10.1.0.2", "10.1.0.3"})
            await call.ack(response)
            await told(lambda: plane.metric('controlplane_xds_pushes_total{type="eds"}') == 2)
            await told(lambda: plane.metric('controlplane_propagation_seconds_count{type="eds"}') == 1)


async def test_state_of_the_world_for_envoy(manifests: Path) -> None:
    write_service(manifests, "web", ["10.1.0.9"])
    with ControlPlane(manifests) as plane:
        async with grpc.aio.insecure_channel(plane.address) as channel:
            call = SotwCall(channel, ENVOY_NODE)
            await call.send(CDS)
            clusters = await call.read()
            assert len(clusters.resources) == 2
            await call.send(EDS, [VOTING])
            assert hosts(await call.read()) == {"10.1.0.1", "10.1.0.2"}
            await call.send(LDS)
            assert len((await call.read()).resources) == 1


async def test_from_one_replica_to_another_nothing_is_sent_twice(manifests: Path) -> None:
    held = {}
    with ControlPlane(manifests) as first, ControlPlane(manifests) as second:
        async with grpc.aio.insecure_channel(first.address) as channel:
            call = DeltaCall(channel)
            for type_url in (RDS, CDS, EDS):
                held[type_url] = await call.fetch(type_url, VOTING)
        async with grpc.aio.insecure_channel(second.address) as channel:
            call = DeltaCall(channel)
            for type_url, versions in held.items():
                await call.send(type_url, [VOTING], initial=versions)
            assert list(await call.fetch(LDS, VOTING)) == [VOTING], "an answer to this alone"
            await told(lambda: second.metric("controlplane_xds_pushes_total") == 1)


def test_a_service_that_goes_and_a_file_that_breaks(manifests: Path) -> None:
    with ControlPlane(manifests) as plane:
        (manifests / "voting.yaml").write_text("{ half a")
        eventually(lambda: plane.metric("controlplane_source_problems") == 1, "the problem")
        config = json.loads(plane.get("/debug/config")[1])
        assert VOTING in config["targets"], "what was read before stands"
        assert config["problems"]
        (manifests / "voting.yaml").unlink()
        eventually(lambda: plane.metric("controlplane_graph_targets") == 0, "the end of the target")


async def test_a_refusal_is_logged_and_shown(manifests: Path) -> None:
    with ControlPlane(manifests) as plane:
        async with grpc.aio.insecure_channel(plane.address) as channel:
            call = DeltaCall(channel)
            await call.send(CDS, [VOTING])
            await call.ack(await call.read(), problem="I do not\nlike it")
            await call.fetch(RDS, VOTING)
            line = f"refused by voting-1.demo: Cluster {VOTING}: I do not\\nlike it"
            await asyncio.to_thread(eventually, lambda: line in plane.stderr, line)
            (nack,) = json.loads(plane.get("/debug/config")[1])["nacks"]
            assert nack["problem"] == "I do not\\nlike it"
            assert plane.metric('controlplane_xds_nacks_total{type="cds"}') == 1
            assert plane.metric('controlplane_xds_streams{client="gossamer",mode="delta"}') == 1


async def test_tls(manifests: Path) -> None:
    require("openssl", "openssl (apt-get install openssl)")
    cert, key = manifests.parent / "cert.pem", manifests.parent / "key.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    command = ["openssl", "req", "-x509", *kind, *name, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: ASYNC221 - nothing else runs yet
    with ControlPlane(manifests, "--tls-cert", str(cert), "--tls-key", str(key)) as plane:
        credentials = grpc.ssl_channel_credentials(cert.read_bytes())
        async with grpc.aio.secure_channel(plane.address, credentials) as channel:
            assert list(await DeltaCall(channel).fetch(CDS, VOTING)) == [VOTING]
        async with grpc.aio.insecure_channel(plane.address) as channel:
            assert (await DeltaCall(channel).status())[0] == grpc.StatusCode.UNAVAILABLE


async def test_sigterm_ends_streams_in_peace_and_health_says_so_first(manifests: Path) -> None:
    with ControlPlane(manifests) as plane:
        async with grpc.aio.insecure_channel(plane.address) as channel:
            watch = HealthStub(channel).Watch(HealthCheckRequest())
            assert (await watch.read()).status == HealthCheckResponse.SERVING
            calls = [DeltaCall(channel) for _ in range(5)]
            for call in calls:
                await call.fetch(CDS, VOTING)
            plane.signal(signal.SIGTERM)
            assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
            for call in calls:
                assert (await call.status())[0] == grpc.StatusCode.UNAVAILABLE
            watch.cancel()
        assert plane.wait() == 0


def test_pages(manifests: Path) -> None:
    with ControlPlane(manifests) as plane:
        assert plane.get("/live") == (200, "live\n")
        assert plane.get("/ready") == (200, "ready\n")
        assert plane.get("/nowhere")[0] == 404
        assert plane.metric("controlplane_source_synced") == 1
        assert plane.metric('controlplane_source_objects{kind="services"}') == 1
        assert plane.metric("controlplane_graph_endpoints") == 2
        assert json.loads(plane.get("/debug/config")[1])["ready"] is True


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "give --source kubernetes, or --source files:DIR"),
        (["--source", "files"], "--source 'files' is neither kubernetes nor files:DIR"),
        (["--source", "files:/nowhere"], "cannot read the directory /nowhere: "),
        (["--source", "files:.", "--namespace", "x"], "--namespace is for --source kubernetes"),
        (["--source", "kubernetes", "--kubeconfig", "/nowhere"], "cannot use the kubeconfig /nowhere: "),
        (["--source", "kubernetes", "--xds", "here"], "--xds 'here' is no HOST:PORT"),
        (["--source", "kubernetes", "--xds", "::1:80"], "--xds '::1:80' is no HOST:PORT"),
        (["--source", "kubernetes", "--admin", "h:65536"], "--admin 'h:65536' is no HOST:PORT"),
        (["--source", "kubernetes", "--xds", "a:1", "--admin", "a:1"], "give each its own port"),
        (["--source", "kubernetes", "--tls-cert", "x"], "--tls-cert and --tls-key go together"),
        (["--source", "files:.", "--tls-cert", "x", "--tls-key", "/nowhere"], "/nowhere cannot be read"),
        (["--source", "files:.", "--tls-cert", __file__, "--tls-key", __file__], "are no certificate"),
        (["--source", "kubernetes", "--cluster-domain", "a b"], "--cluster-domain 'a b' is no DNS name"),
        (["--source", "kubernetes", "--source", "files:."], "--source is given twice"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_said_in_one_sentence(options: list[str], complaint: str) -> None:
    code, out, err = run_to_end(*options)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("mesh controlplane: ")
    assert complaint in last
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--xds", "--admin"])
def test_a_port_in_use_is_said(option: str, manifests: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        address = f"{HOST}:{taken.getsockname()[1]}"
        other = "--admin" if option == "--xds" else "--xds"
        options = ["--source", f"files:{manifests}", option, address, other, f"{HOST}:0"]
        code, _, err = run_to_end(*options)
    assert code == 1
    assert f"{option} {address} cannot be listened on: Address already in use" in err


def test_help_shows_how() -> None:
    code, out, err = run_to_end("--help")
    assert (code, err) == (0, "")
    assert "mesh controlplane --source files:./manifests" in out
