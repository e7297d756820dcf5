from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from controlplane.graph import names
from controlplane.graph.mesh import Mesh
from tests.unit.controlplane.translate.samples import domains, mesh, target

# Labels that make names collide: a namespace or a Service may be called `svc`.
LABELS = st.sampled_from(["a", "b", "svc", "cluster", "local"])
HOSTS = st.lists(LABELS, min_size=2, max_size=3).map(".".join)
TARGETS = st.lists(st.builds("{}.svc.cluster.local:{}".format, HOSTS, st.sampled_from([80, 81])), max_size=12)


def owner(found: dict[str, tuple[str, ...]], domain: str) -> str | None:
    return next((name for name, owned in found.items() if domain in owned), None)


def test_all_names_of_a_service() -> None:
    name = "web.shop.svc.cluster.local:80"
    found = domains(mesh(target(name), addresses={"10.96.0.1:80": name}), "shop")
    hosts = ["10.96.0.1", "web", "web.shop", "web.shop.svc", "web.shop.svc.cluster.local"]
    assert found == {name: tuple(sorted(hosts + [f"{host}:80" for host in hosts]))}


def test_a_short_name_is_the_one_of_the_namespace() -> None:
    item = mesh(target("web.blue.svc.cluster.local:80"), target("web.green.svc.cluster.local:80"))
    assert owner(domains(item, "blue"), "web") == "web.blue.svc.cluster.local:80"
    assert owner(domains(item, "green"), "web") == "web.green.svc.cluster.local:80"
    assert owner(domains(item, "red"), "web") is None
    assert owner(domains(item, ""), "web") is None


def test_a_name_without_a_port_means_port_80_or_the_only_port() -> None:
    host = "web.shop.svc.cluster.local"
    assert owner(domains(mesh(target(f"{host}:9000"), target(f"{host}:80")), ""), host) == f"{host}:80"
    assert owner(domains(mesh(target(f"{host}:9000")), ""), host) == f"{host}:9000"
    assert owner(domains(mesh(target(f"{host}:9000"), target(f"{host}:9001")), ""), host) is None


def test_brackets_of_an_ipv6_address_stay() -> None:
    name = "web.shop.svc.cluster.local:80"
    found = domains(mesh(target(name), addresses={"[fd00::1]:80": name}), "")
    assert {"[fd00::1]", "[fd00::1]:80"} <= set(found[name])


def test_a_host_without_ports_has_its_name_all_the_same() -> None:
    """`web.shop.svc` completed by `.svc.cluster.local` is found first, and so never means the Service of that name."""
    pod = target("web.shop.svc.svc.cluster.local:0")
    item = replace(mesh(target("web.shop.svc.cluster.local:80")), hosts={"web.shop.svc.svc.cluster.local": pod})
    assert owner(domains(item, ""), "web.shop.svc") is None
    assert owner(domains(item, ""), "web.shop") == "web.shop.svc.cluster.local:80"


@given(TARGETS, LABELS)
def test_no_domain_occurs_twice_and_each_means_what_a_named_subscription_would(
    canonical: list[str], namespace: str
) -> None:
    item: Mesh = mesh(*(target(name) for name in canonical))
    found = domains(item, namespace)
    counts = Counter(domain for owned in found.values() for domain in owned)
    assert [domain for domain, count in counts.items() if count > 1] == []
    for name, owned in found.items():
        for domain in owned:
            if ":" in domain:
                meant = names.resolve(item, domain, namespace)
                assert meant is not None
                assert meant.name == name


@given(TARGETS, LABELS)
def test_a_namespace_differs_only_where_it_says_so(canonical: list[str], namespace: str) -> None:
    """What is worked out once and patched is what a search path tried from its beginning finds for each name."""
    item = mesh(*(target(name) for name in canonical))
    found = domains(item, namespace)
    search = [f".{namespace}.svc.cluster.local", ".svc.cluster.local", ".cluster.local", ""]
    hosts = {name.rpartition(":")[0] for name in item.targets}
    expected: dict[str, str] = {}
    for suffix in search:
        for host in hosts:
            if host.endswith(suffix):
                expected.setdefault(host.removesuffix(suffix), host)
    for name, host in expected.items():
        for port in ("80", "81"):
            meant = f"{host}:{port}"
            assert owner(found, f"{name}:{port}") == (meant if meant in item.targets else None)
