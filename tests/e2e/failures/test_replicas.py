"""Two control planes over one API: what they serve has equal versions, and who moves between them is sent nothing."""

from __future__ import annotations

import json

import grpc
from envoy.config.core.v3.base_pb2 import Locality, Node

from controlplane.translate.resource import CDS, EDS, LDS, RDS
from tests.cluster.api_server import ApiServer
from tests.e2e.failures.objects import Service
from tests.e2e.failures.plane import Plane
from tests.e2e.failures.scene import (
    call_as,
    first_answer,
    front,
    make_sidecar,
    move,
    running,
    served_by,
    under_load,
    until,
)
from tests.e2e.processes import GrpcBackend
from tests.unit.controlplane.ads.serving import DeltaCall

PUSHES = "controlplane_xds_pushes_total"
NODES = [
    Node(id="web-1.demo", user_agent_name="gossamer", locality=Locality(zone="zone-a")),
    Node(id="web-2.demo", user_agent_name="gRPC Go"),
    Node(id="web-3.demo", user_agent_name="envoy"),
]


async def read_versions(plane: Plane) -> dict[str, str]:
    """The version of everything that there is, for each kind of client, as `CLIENT TYPE NAME`."""
    targets = list(json.loads(plane.get("/debug/config")[1])["targets"])
    found: dict[str, str] = {}
    async with grpc.aio.insecure_channel(plane.address) as channel:
        for node in NODES:
            is_envoy = node.user_agent_name == "envoy"
            asked = {LDS: ["*"] if is_envoy else targets, CDS: ["*"] if is_envoy else targets, EDS: targets}
            asked[RDS] = ["outbound"] if is_envoy else targets
            for type_url, names in asked.items():
                versions = await DeltaCall(channel, node).fetch(type_url, *names)
                assert len(versions) == (1 if "outbound" in names or (is_envoy and type_url == LDS) else len(targets))
                found |= {f"{node.id} {type_url} {name}": version for name, version in versions.items()}
    return found


async def test_versions_do_not_depend_on_the_replica(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    """One has lived through changes, one has come late, one was killed and starts again; each hashes differently."""
    a, b, c = backends
    async with running(Plane(api.kubeconfig, hash_seed="1")) as first:
        services = [Service(api, namespace, a, b, c, short=f"s{number}") for number in range(5)]
        for service in services:
            service.remove(a)
        services[0].add(a)
        services[1].delete()
        services[1].create()
        async with running(Plane(api.kubeconfig, hash_seed="2")) as second:
            expected = await read_versions(second)
            assert len(set(expected.values())) > 3 * len(services)

            async def is_equal() -> bool:
                return await read_versions(first) == expected

            await until(is_equal, "the same versions")
        first.kill()
    async with running(Plane(api.kubeconfig, hash_seed="3")) as third:
        assert await read_versions(third) == expected


async def test_a_sidecar_that_moves_receives_nothing_that_it_has(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    """And then only what has changed: one message with one assignment."""
    a, b, c = backends
    service = Service(api, namespace, a, b)
    others = [Service(api, namespace, c, short=f"other-{number}") for number in range(3)]
    async with running(Plane(api.kubeconfig)) as first, running(Plane(api.kubeconfig)) as second:
        async with front(first.port) as place, running(make_sidecar(place.port)) as sidecar:
            async with under_load(sidecar, service.name) as load:
                for other in others:
                    async with call_as(sidecar, other.name) as channel:
                        assert await first_answer(channel) == "c"
                sent_bytes = first.metric("controlplane_xds_push_bytes_total")
                first.kill()
                await move(place, second.port)
                names = 4 * (1 + len(others))
                await until(lambda: second.metric("controlplane_xds_subscriptions") == names, "its subscriptions")
                await load.answered(50)
                assert second.metric(PUSHES) == 0
                service.add(c)
                await served_by(load, {"a", "b", "c"})
                assert second.metric(PUSHES) == second.metric(f'{PUSHES}{{type="eds"}}') == 1
                assert 0 < second.metric("controlplane_xds_push_bytes_total") < sent_bytes / 4


async def test_replicas_share_the_sidecars_and_all_survive_the_death_of_one(
    api: ApiServer, namespace: str, backends: list[GrpcBackend]
) -> None:
    a, b, c = backends
    service = Service(api, namespace, a, b)
    async with running(Plane(api.kubeconfig)) as first, running(Plane(api.kubeconfig)) as second:
        async with front(first.port) as place, running(make_sidecar(place.port)) as one:
            async with under_load(one, service.name) as load, running(make_sidecar(second.port)) as two:
                async with under_load(two, service.name) as other_load:
                    service.replace(a, c)
                    await served_by(load, {"b", "c"})
                    await served_by(other_load, {"b", "c"})
                    first.kill()
                    await move(place, second.port)
                    await until(lambda: second.metric("controlplane_xds_streams") == 2, "the other sidecar")
                    service.replace(b, a)
                    await served_by(load, {"a", "c"})
                    await served_by(other_load, {"a", "c"})
