"""What is kept of lists and events, above all of bad ones."""

from __future__ import annotations

from typing import Any

from controlplane.model.objects import SERVICES, SLICES
from controlplane.model.snapshot import Change
from controlplane.sources.inventory import Inventory
from controlplane.sources.wire import ADDED, DELETED, MODIFIED, Event


def service(name: str, port: object = 80, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, **metadata}, "spec": {"ports": [{"port": port}]}}


def listed(*items: Any) -> Inventory:
    inventory = Inventory(SERVICES)
    inventory.begin()
    inventory.add(list(items))
    inventory.commit()
    return inventory


def apply(inventory: Inventory, type_: str, item: dict[str, Any]) -> Change | None:
    return inventory.apply(Event(type_, item, "9"))


def names(inventory: Inventory) -> list[str]:
    return sorted(name for _, name in inventory.objects)


def test_a_list_replaces_what_was_known() -> None:
    inventory = listed(service("a"), service("b"))
    inventory.begin()
    inventory.add([service("b")])
    assert names(inventory) == ["a", "b"]
    inventory.add([service("c")])
    relist = inventory.commit()
    assert names(inventory) == ["b", "c"]
    assert [item.name for item in relist.objects] == ["b", "c"]


def test_a_list_that_was_begun_and_given_up_leaves_no_trace() -> None:
    inventory = listed(service("a"))
    inventory.begin()
    inventory.add([service("half")])
    inventory.begin()
    inventory.add([service("a")])
    inventory.commit()
    assert names(inventory) == ["a"]


def test_events_change_and_remove() -> None:
    inventory = listed(service("a"))
    added = apply(inventory, ADDED, service("b"))
    assert added is not None
    assert added.now is not None
    modified = apply(inventory, MODIFIED, service("b", 81))
    assert modified is not None
    assert modified.now == inventory.objects["shop", "b"]
    assert apply(inventory, DELETED, service("b")) == Change(SERVICES, ("shop", "b"), None)
    assert apply(inventory, DELETED, service("b")) is None
    assert names(inventory) == ["a"]


def test_an_event_that_changes_nothing_we_use_is_no_change() -> None:
    inventory = listed(service("a"))
    assert apply(inventory, MODIFIED, service("a", resourceVersion="99", labels={"unused": "1"})) is None


def test_a_malformed_object_keeps_its_last_good_version_and_is_named() -> None:
    inventory = listed(service("a"), service("b"))
    good = inventory.objects["shop", "a"]
    assert apply(inventory, MODIFIED, service("a", "eighty")) is None
    assert inventory.objects["shop", "a"] == good
    (problem,) = inventory.problems()
    assert "shop/a" in problem
    assert "port" in problem
    assert "last good version" in problem
    assert apply(inventory, MODIFIED, service("a", 82)) is not None
    assert inventory.problems() == []
    assert inventory.unreadable == 1


def test_a_malformed_object_in_a_list_does_not_take_others_with_it() -> None:
    inventory = listed(service("a"))
    inventory.begin()
    inventory.add([service("a", -1), "no object", service("new", 0), {"metadata": []}, service("b")])
    relist = inventory.commit()
    assert [item.name for item in relist.objects] == ["a", "b"]
    assert len(inventory.problems()) >= 3
    inventory.begin()
    inventory.add([service("b")])
    inventory.commit()
    assert names(inventory) == ["b"]
    assert inventory.problems() == []


def test_the_deletion_of_a_malformed_object_removes_its_last_good_version() -> None:
    inventory = listed(service("a"))
    apply(inventory, MODIFIED, service("a", "eighty"))
    assert apply(inventory, DELETED, service("a", "eighty")) == Change(SERVICES, ("shop", "a"), None)
    assert inventory.problems() == []


def test_who_may_write_slices_may_not_send_clients_to_their_own_hosts() -> None:
    endpoints = [{"addresses": ["127.0.0.1"]}]
    inventory = Inventory(SLICES)
    inventory.begin()
    inventory.add([{"metadata": {"name": "x"}, "addressType": "IPv4", "endpoints": endpoints}])
    assert inventory.commit().objects == ()
    assert "must not be loopback" in inventory.problems()[0]
