"""What of a cluster is meshed: which workloads and Services are looked at."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.check.facts import Object, Unseen
from mesh.check.makers import lacks_pods, name_maker
from mesh.check.scope import choose, select, sort_out
from mesh.contract import ENABLED, INJECT
from tests.unit.mesh.check.samples import make_maker, make_namespace, make_pod, make_service

STANDING = {name: make_namespace(name) for name in ("shop", "other")}


def place_maker(name: str, **labels: str) -> Object:
    found = make_maker()
    found["metadata"] |= {"namespace": name}
    found["spec"]["template"]["metadata"] = {"labels": labels}
    return found


def test_workloads_are_those_in_namespaces_that_ask_and_those_whose_template_asks() -> None:
    inside, asking, gone = (
        place_maker("shop"),
        place_maker("other", **{INJECT: ENABLED}),
        place_maker("gone", **{INJECT: ENABLED}),
    )
    quiet = place_maker("other")
    quiet["metadata"]["name"] = "quiet"
    assert choose((inside, asking, asking, gone, quiet), ["shop"], STANDING) == (inside, asking)
    assert choose(Unseen("403"), ["shop"], STANDING) == Unseen("403")


def test_services_of_pods_that_ask_alone_are_those_that_select_them() -> None:
    lost, elsewhere, headless = make_service(), make_service(), make_service()
    lost["spec"]["selector"] = {"app": "x"}
    elsewhere["metadata"]["namespace"] = "other"
    del headless["spec"]["selector"]
    mine = make_service()
    assert select([lost, elsewhere, headless, mine], [make_pod()]) == (mine,)


@pytest.mark.parametrize(
    ("kind", "spec", "status"),
    [
        ("ReplicaSet", {"replicas": 0}, {}),
        ("DaemonSet", {}, {"desiredNumberScheduled": 0}),
        ("Job", {}, {"conditions": [{"type": "Complete"}]}),
        ("Job", {"suspend": True}, {}),
    ],
)
def test_what_wants_no_pods_is_left_out(kind: str, spec: Object, status: dict[str, Any]) -> None:
    maker = make_maker(kind, spec, **status)
    assert sort_out(kind, (maker,)) == ()
    assert not lacks_pods(maker)


def test_a_workload_is_named_by_who_owns_it() -> None:
    maker = make_maker()
    assert name_maker(maker) == "ReplicaSet shop/voting"
    maker["metadata"]["ownerReferences"] = [{"kind": "Deployment", "name": "front"}]
    assert name_maker(maker) == "Deployment shop/front"
