from __future__ import annotations

from pathlib import Path

import pytest

from proxy.arguments import parse
from proxy.errors import ConfigError
from proxy.membership import Member, Membership, read_membership
from proxy.route.model import Address

BASE = ["--control-plane", "gossamer:4150", "--listen", "127.0.0.1:4140"]
DOWNWARD = {
    "GOSSAMER_NAMESPACE": "shop",
    "GOSSAMER_POD": "web-1",
    "GOSSAMER_NODE": "node-1",
    "GOSSAMER_ZONE": "zone-1",
}


def test_who_it_is_comes_from_the_downward_api() -> None:
    assert read_membership(parse(BASE), DOWNWARD) == Membership(
        Address("gossamer", 4150), "web-1", "shop", "zone-1", "node-1"
    )


def test_the_command_line_comes_first() -> None:
    given = parse([*BASE, "--namespace", "other", "--zone", "zone-2", "--node-name", "node-2"])
    found = read_membership(given, DOWNWARD)
    assert (found.namespace, found.zone, found.node, found.pod) == ("other", "zone-2", "node-2", "web-1")


def test_outside_of_kubernetes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    namespace = tmp_path / "namespace"
    monkeypatch.setattr("proxy.membership._NAMESPACE_FILE", str(namespace))
    found = read_membership(parse(BASE), {"GOSSAMER_NAMESPACE": ""})
    assert (found.namespace, found.zone, found.node) == ("default", "", "")
    assert found.pod
    namespace.write_text("shop\n")
    assert read_membership(parse(BASE), {}).namespace == "shop"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["--namespace", "a.b"], "--namespace: 'a.b' is no namespace"),
        (["--namespace", "Shop"], "is no namespace"),
        (["--zone", "a\nb"], "--zone: give at most 253 printable characters"),
        (["--node-name", "n" * 254], "--node-name: give at most"),
        (["--cache", "/"], "--cache: '/' is no file"),
        (["--control-plane-ca", "/nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be(more: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        read_membership(parse([*BASE, *more]), {})


async def test_each_worker_has_its_own_cache(tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    membership = read_membership(parse([*BASE, "--cache", cache]), DOWNWARD)
    members = [Member(membership, lambda: 0.5, worker) for worker in range(2)]
    assert [member.connect(lambda name, destination: None).cache_path for member in members] == [cache, f"{cache}.1"]
    assert members[0].control.node.id == "web-1.shop"
