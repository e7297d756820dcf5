"""Whatever order the watches deliver in, the mesh ends the same, and is never wrong on the way."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.graph.build import build
from controlplane.graph.graph import Graph
from controlplane.graph.mesh import UNKNOWN, Endpoint, Mesh, Target
from controlplane.model.objects import PODS, SERVICES, Pod, SliceEndpoint
from controlplane.model.snapshot import KINDS, Change, Relist, Snapshot
from tests.properties.rollout import DB, FINAL, NAMES, OPERATIONS, WEB, Cluster

WEB_NAME, DB_NAME = "web.shop.svc.cluster.local:80", "db.shop.svc.cluster.local:80"
TABLES = ("targets", "hosts", "addresses", "pods", "spoken", "opaque")

operations = st.lists(
    st.tuples(st.sampled_from((*OPERATIONS, "service")), st.sampled_from(NAMES), st.booleans()), max_size=20
)
History = list[tuple[str, str, bool]]
# How one run hears of it all: batches of a watch (which, how many, as a list, whether patience ends first), and then
# what is left, one by one, a whole watch after the other.
Order = tuple[list[tuple[int, int, bool, bool]], list[int]]
orders = st.tuples(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.booleans(), st.booleans()), max_size=40),
    st.permutations(range(3)),
)


def live(history: History) -> Cluster:
    """A cluster after this history, in the end with all of its Services and slices written."""
    cluster = Cluster()
    cluster.toggle(WEB)
    cluster.watches[SERVICES].append(Change(SERVICES, DB.key, DB))
    for operation, name, heard in history:
        if operation == "service":
            cluster.watches[SERVICES] += [Change(SERVICES, WEB.key, None), Change(SERVICES, WEB.key, WEB)]
        else:
            cluster.do(operation, name)
        if heard:
            cluster.do("sync", name)
    for operation in FINAL:
        cluster.do(operation, NAMES[0])
    return cluster


def interleave(cluster: Cluster, order: Order) -> Iterator[tuple[list[Change | Relist], bool]]:
    """Batches of changes, each from one watch, and whether patience ends after it; pods may come as a list."""
    watches = {kind: list(changes) for kind, changes in cluster.watches.items()}
    pods: dict[object, Pod] = {}
    rest = [(which, 1, False, False) for which in order[1] for _ in watches[KINDS[which]]]
    for which, count, relist, late in (*order[0], *rest):
        kind = KINDS[which]
        batch, watches[kind] = watches[kind][:count], watches[kind][count:]
        if kind == PODS:
            for change in batch:
                assert change.now is None or isinstance(change.now, Pod)
                pods.pop(change.key, None)
                pods |= {change.key: change.now} if change.now else {}
        yield ([Relist(PODS, tuple(pods.values()))] if kind == PODS and relist else [*batch]), late


def entries(snapshot: Snapshot, service: str, hostname: str) -> dict[str, list[SliceEndpoint]]:
    """What the slices of a Service say of each UID, IPv4 first."""
    found: dict[str, list[SliceEndpoint]] = {}
    for family in ("IPv4", "IPv6"):
        for item in snapshot.endpointslices.values():
            for endpoint in item.endpoints:
                if (item.service, item.family) == (service, family) and hostname in ("", endpoint.hostname):
                    found.setdefault(endpoint.pod_uid, []).append(endpoint)
    return found


def knows(snapshot: Snapshot, endpoint: SliceEndpoint) -> bool:
    pod = snapshot.pods.get(endpoint.pod) if endpoint.pod else None
    return pod is not None and pod.uid == endpoint.pod_uid and endpoint.address in pod.ips


def expect(snapshot: Snapshot, target: Target, overdue: frozenset[str]) -> set[str]:
    """Where a target should answer, by the rules alone."""
    hostname = target.name.split(".")[0] if target.name.count(".") == 5 else ""
    steady, ending = set(), set()
    for uid, said in entries(snapshot, target.service, hostname).items():
        pod = next((pod for pod in snapshot.pods.values() if pod.uid == uid), None)
        known = [endpoint for endpoint in said if knows(snapshot, endpoint)]
        if (pod and pod.finished) or not (known or uid in overdue) or not any(e.ready or e.serving for e in said):
            continue
        late = any(endpoint.terminating for endpoint in said) or (pod is not None and pod.terminating)
        if late or any(endpoint.ready for endpoint in said):
            (ending if late else steady).add((known or said)[0].address)
    return steady or ending


def check_step(cluster: Cluster, graph: Graph, snapshot: Snapshot, overdue: frozenset[str]) -> None:
    mesh = graph.mesh
    assert mesh == build(snapshot, overdue)
    assert (WEB_NAME in mesh.targets) == (WEB.key in snapshot.services)
    for target in (*mesh.targets.values(), *mesh.hosts.values()):
        assert {endpoint.host for endpoint in target.endpoints} == expect(snapshot, target, overdue)
        assert len({endpoint.host for endpoint in target.endpoints}) == len(target.endpoints)
        for endpoint in target.endpoints:
            check_identity(cluster, snapshot, endpoint)
    for endpoint in mesh.pods.values():
        check_identity(cluster, snapshot, endpoint)


def check_identity(cluster: Cluster, snapshot: Snapshot, endpoint: Endpoint) -> None:
    """Each UID has a workload of its own: an endpoint that names it must be where that very pod lived."""
    if endpoint.workload != UNKNOWN:
        name, ips = cluster.born[endpoint.workload.name]
        assert (endpoint.pod, snapshot.pods["shop", name].uid) == (name, endpoint.workload.name)
        assert endpoint.host in ips


def differences(before: Mesh, now: Mesh) -> set[str]:
    pairs = [(getattr(before, table), getattr(now, table)) for table in TABLES]
    return {key for old, new in pairs for key in {**old, **new} if old.get(key) != new.get(key)}


def run(cluster: Cluster, order: Order) -> Mesh:
    graph, snapshot, overdue = Graph(), Snapshot(), frozenset[str]()
    seen: set[str] = set()
    for changes, late in interleave(cluster, order):
        before = graph.mesh
        overdue = (overdue & graph.unseen) | (graph.waiting if late else frozenset())
        snapshot, touched = snapshot.after(changes)
        changed = graph.update(snapshot, touched, overdue)
        assert changed == differences(before, graph.mesh)
        for name, target in graph.mesh.targets.items():
            assert target is before.targets.get(name) or name in changed
        check_step(cluster, graph, snapshot, overdue)
        check_waiting(graph, snapshot, overdue, seen)
    return graph.mesh


def check_waiting(graph: Graph, snapshot: Snapshot, overdue: frozenset[str], seen: set[str]) -> None:
    """`seen` collects the UIDs that have ever been seen: one that is gone does not come again."""
    present = {pod.uid for pod in snapshot.pods.values()}
    seen |= present
    unseen = {
        uid
        for service in snapshot.services.values()
        for uid, said in entries(snapshot, service.name, "").items()
        for pod in [next((pod for pod in snapshot.pods.values() if pod.uid == uid), None)]
        if not (pod and pod.finished) and not all(knows(snapshot, endpoint) for endpoint in said)
    }
    assert graph.unseen == unseen
    assert graph.waiting == unseen - overdue - (seen - present)


@settings(max_examples=300, deadline=None)
@given(operations, orders, orders)
def test_every_interleaving_ends_the_same_and_is_never_wrong(
    history: History,
    one: Order,
    other: Order,
) -> None:
    cluster = live(history)
    mesh = run(cluster, one)
    assert mesh == run(cluster, other)
    for name in (WEB_NAME, DB_NAME):
        target = mesh.targets[name]
        assert {endpoint.host: endpoint.workload.name for endpoint in target.endpoints} == cluster.serving()
