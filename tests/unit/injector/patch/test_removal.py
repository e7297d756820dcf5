from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.patch import Verdict, ask_for_sidecar, uninject
from mesh.contract import INJECT, INJECTED
from tests.unit.injector.patch.applying import apply
from tests.unit.injector.patch.pods import Fields, make_pod, mesh

TEXTS = st.dictionaries(st.sampled_from(["app", "tier"]), st.text("ab", max_size=2), max_size=2)
PORTS = st.lists(st.sampled_from([{"name": "http", "containerPort": 80}, {"containerPort": 81}]), max_size=2)
HANDLERS = st.sampled_from(
    [
        {"httpGet": {"path": "/$(A)", "port": "http"}},
        {"httpGet": {"port": 80, "scheme": "HTTPS"}},
        {"tcpSocket": {"port": 81}},
        {"grpc": {"port": 82, "service": ""}},
        {"exec": {"command": ["true"]}},
        {"httpGet": {"port": 80, "host": "example.local"}},
    ]
)
PROBES = st.builds(
    lambda handler, rest: {**rest, **handler},
    HANDLERS,
    st.fixed_dictionaries({}, optional={"periodSeconds": st.just(3)}),
)


def containers(*names: str) -> st.SearchStrategy[list[Fields]]:
    optional = {"ports": PORTS} | {f"{kind}Probe": PROBES for kind in ("liveness", "readiness", "startup")}
    return st.tuples(
        *(st.fixed_dictionaries({"name": st.just(name), "image": st.just("a")}, optional=optional) for name in names)
    ).map(list)


EMPTY_MEMBER = st.sampled_from([None, {}])
OPTIONS = st.dictionaries(
    st.just("config.gossamer.mesh/native-sidecar") | st.just("config.gossamer.mesh/interception"), st.just("x")
).map(lambda chosen: {name: "false" if "native" in name else "none" for name in chosen})
METADATA = EMPTY_MEMBER | st.fixed_dictionaries(
    {},
    optional={"name": st.just("a"), "labels": EMPTY_MEMBER | TEXTS, "annotations": EMPTY_MEMBER | TEXTS | OPTIONS},
)
SPEC = st.fixed_dictionaries(
    {"containers": containers("a", "b") | containers("a")},
    optional={
        "initContainers": st.none() | st.just([]) | containers("c"),
        "volumes": st.none() | st.just([]) | st.just([{"name": "data", "emptyDir": {}}]),
        "terminationGracePeriodSeconds": st.integers(0, 60),
    },
)
PODS = st.fixed_dictionaries({"spec": SPEC}, optional={"metadata": METADATA})


@given(PODS)
def test_there_and_back(pod: Fields) -> None:
    before = deepcopy(pod)
    outcome = mesh(pod)
    assert outcome.verdict is Verdict.INJECTED
    assert pod == before
    assert apply(pod, outcome.patch()) == outcome.after
    assert mesh(outcome.after).after is outcome.after
    way_back = uninject(outcome.after)
    assert way_back.verdict is Verdict.REMOVED
    assert way_back.after == before
    assert apply(outcome.after, way_back.patch()) == before
    assert uninject(before).after is before


@given(PODS)
def test_the_label_and_back(pod: Fields) -> None:
    asking = ask_for_sidecar(pod)
    assert asking["metadata"]["labels"][INJECT] == "enabled"
    assert ask_for_sidecar(asking) is asking
    assert uninject(asking).after == pod
    assert uninject(mesh(asking).after).after["spec"] == pod["spec"]


def test_who_was_there_before_does_not_matter() -> None:
    outcome = mesh(
        make_pod("metadata: {annotations: {kubectl.kubernetes.io/default-container: other}}", native_sidecar="false")
    )
    annotations = uninject(outcome.after).after["metadata"]["annotations"]
    assert annotations["kubectl.kubernetes.io/default-container"] == "other"


@pytest.mark.parametrize("record", ["{", "[]", '{"probes": []}', '{"probes": {"a/liveness": 1}}', '{"emptied": 1}'])
def test_a_broken_record_is_not_guessed_at(record: str) -> None:
    outcome = uninject(make_pod(f"metadata: {{annotations: {{{INJECTED}: '{record}'}}}}"))
    assert outcome.verdict is Verdict.REFUSED
    assert outcome.sentence.startswith(f"annotation {INJECTED} cannot be read")


def test_a_sidecar_written_by_hand_goes_too() -> None:
    pod: dict[str, Any] = make_pod("spec: {initContainers: [{name: gossamer-init}, {name: gossamer-proxy}]}")
    assert uninject(pod).after == make_pod()


def test_what_only_has_names_like_ours_stays() -> None:
    pod = make_pod("spec: {initContainers: [{name: gossamer-init}], volumes: [{name: gossamer-run, emptyDir: {}}]}")
    assert uninject(pod).after is pod


def test_who_opted_out_stays_so() -> None:
    outcome = uninject(make_pod("metadata: {labels: {gossamer.mesh/inject: disabled}}"))
    assert (outcome.verdict, outcome.reason) == (Verdict.SKIPPED, "absent")
