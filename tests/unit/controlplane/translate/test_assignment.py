from __future__ import annotations

from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from controlplane.graph.mesh import UNKNOWN, Endpoint, Workload
from controlplane.translate.assignment import assignment, sub_zone
from controlplane.translate.resource import EDS, pack
from tests.unit.controlplane.translate.samples import WEB, endpoint

NAME = "web.shop.svc.cluster.local:80"
LABELS = st.sampled_from(["", "a", "b", "a-b"])
WORKLOADS = st.builds(Workload, LABELS, LABELS, LABELS, LABELS, st.booleans())
ENDPOINTS = st.lists(
    st.builds(
        Endpoint,
        st.integers(1, 250).map("10.0.0.{}".format),
        st.just(80),
        LABELS,
        LABELS,
        LABELS,
        st.just(()),
        WORKLOADS,
    ),
    max_size=12,
    unique_by=lambda item: item.host,
)


def test_what_a_workload_shares_is_stored_once() -> None:
    message = assignment(NAME, [endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "a"), endpoint("10.0.0.3", "b")])
    first, second = message.endpoints
    assert (first.locality.zone, second.locality.zone) == ("a", "b")
    assert (first.load_balancing_weight.value, second.load_balancing_weight.value) == (2, 1)
    shared = first.metadata.filter_metadata["gossamer.mesh"]
    assert dict(shared) == {
        "namespace": "shop",
        "kind": "deployment",
        "workload": "web",
        "service_account": "web",
        "meshed": True,
    }
    assert dict(first.lb_endpoints[1].metadata.filter_metadata["gossamer.mesh"]) == {"pod": "pod-10.0.0.2"}


def test_nobody_is_described_where_nobody_is_known() -> None:
    message = assignment(NAME, [Endpoint("192.0.2.1", 80)])
    (locality,) = message.endpoints
    assert locality.HasField("locality")
    assert not locality.HasField("metadata")
    assert not locality.lb_endpoints[0].HasField("metadata")


def test_no_endpoints_are_an_empty_assignment() -> None:
    message = assignment(NAME, [])
    assert (message.cluster_name, len(message.endpoints)) == (NAME, 0)


def test_the_order_of_endpoints_makes_no_difference() -> None:
    items = [endpoint("10.0.0.1", "a"), endpoint("10.0.0.2", "b"), endpoint("10.0.0.3", "a")]
    assert len({pack(EDS, NAME, assignment(NAME, order)) for order in permutations(items)}) == 1


def test_a_locality_does_not_change_with_its_neighbours() -> None:
    unmeshed = replace(endpoint("10.0.0.2", "a"), workload=replace(WEB, meshed=False))
    alone = assignment(NAME, [endpoint("10.0.0.1", "a")]).endpoints[0].locality
    beside = [item.locality for item in assignment(NAME, [unmeshed, endpoint("10.0.0.1", "a")]).endpoints]
    assert alone in beside


@given(ENDPOINTS)
def test_what_grpc_demands(endpoints: list[Endpoint]) -> None:
    """A27: every locality is present, has a weight and occurs once; every address occurs once."""
    message = assignment(NAME, endpoints)
    localities = [(item.locality.zone, item.locality.sub_zone) for item in message.endpoints]
    assert len(set(localities)) == len(localities)
    assert all(item.HasField("locality") for item in message.endpoints)
    assert [item.load_balancing_weight.value for item in message.endpoints] == [
        len(item.lb_endpoints) for item in message.endpoints
    ]
    addresses = [
        item.endpoint.address.socket_address.address for locality in message.endpoints for item in locality.lb_endpoints
    ]
    assert sorted(addresses) == sorted(item.host for item in endpoints)


@given(WORKLOADS, WORKLOADS)
def test_two_workloads_never_share_a_sub_zone(one: Workload, other: Workload) -> None:
    assert (sub_zone(one) == sub_zone(other)) == (one == other)
    assert (sub_zone(one) == "") == (one == UNKNOWN)
