from __future__ import annotations

from benchmarks.scale.manifests import (
    make_deployment,
    make_pod,
    make_pod_status,
    make_rolled_service,
    make_service,
    make_slice,
    ready_addresses,
)
from benchmarks.scale.manifests import make_endpoints as endpoints_of
from benchmarks.scale.plan import QUICK, make_services, pod_address
from controlplane.graph.build import build
from controlplane.model.objects import PODS, SERVICES, SLICES
from controlplane.model.read import read
from controlplane.model.snapshot import Change, Snapshot

SERVICE = make_services(QUICK)[0]
UIDS = [f"uid-{place}" for place in range(SERVICE.endpoints)]


def test_the_control_plane_makes_one_locality_per_zone_of_it() -> None:
    objects = [(SERVICES, make_service(SERVICE)), (SLICES, make_slice(QUICK, SERVICE, UIDS))]
    for place, uid in enumerate(UIDS):
        number = SERVICE.first_pod + place
        pod = make_pod(QUICK, SERVICE, number) | make_pod_status(pod_address(number))
        pod["metadata"]["uid"] = uid
        objects.append((PODS, pod))
    changes = [Change(kind, (item := read(kind, raw)).key, item) for kind, raw in objects]
    snapshot, _ = Snapshot().after(changes)
    target = build(snapshot).targets[SERVICE.canonical]
    assert len(target.endpoints) == SERVICE.endpoints
    assert {endpoint.workload.name for endpoint in target.endpoints} == {SERVICE.name}
    assert {endpoint.workload.meshed for endpoint in target.endpoints} == {True}
    assert len({endpoint.zone for endpoint in target.endpoints}) == QUICK.zones


def test_one_endpoint_is_missing() -> None:
    every = ready_addresses({"endpoints": endpoints_of(QUICK, SERVICE, UIDS, None)})
    fewer = ready_addresses({"endpoints": endpoints_of(QUICK, SERVICE, UIDS, 3)})
    assert every - fewer == {pod_address(SERVICE.first_pod + 3)}
    assert len(every) == SERVICE.endpoints


def test_no_condition_means_ready() -> None:
    assert ready_addresses({"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {}}]}) == {"10.0.0.1"}
    assert ready_addresses({"endpoints": None}) == set()


def test_the_deployment_is_what_the_service_selects() -> None:
    labels = make_deployment(3)["spec"]["template"]["metadata"]["labels"]
    assert make_rolled_service()["spec"]["selector"] == labels
