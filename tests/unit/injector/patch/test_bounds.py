"""Pods that nobody has validated: what looking at them takes is counted in calls, and what is said of them in bytes."""

from __future__ import annotations

import difflib
import json
import sys
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest

from injector.patch import Outcome, Verdict
from injector.patch.bounds import CONTAINERS_MAX
from injector.patch.probes import Rewriting
from injector.patch.values import parse_subnet
from mesh.contract import INJECTED, PROXY_CONTAINER
from tests.unit.injector.patch.pods import Fields, environment, find, make_pod, mesh

NEAR, ENCODE, SUBNET = difflib.get_close_matches.__code__, Rewriting.encode.__code__, parse_subnet.__code__
PROBE = {"httpGet": {"port": 80, "path": "/"}}
OURS = "config.gossamer.mesh/"


def run(pod: Fields) -> tuple[Outcome, Counter[CodeType]]:
    """What became of it, its patch included, and which functions were called how often."""
    calls: Counter[CodeType] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            calls[frame.f_code] += 1

    before: Callable[..., Any] | None = sys.getprofile()
    sys.setprofile(count)
    try:
        outcome = mesh(pod)
        outcome.patch()
    finally:
        sys.setprofile(before)
    return outcome, calls


def size(value: Any) -> int:
    return len(json.dumps(value))


def check(pod: Fields) -> Outcome:
    """All pods here: the answer is a small number of times as large as the pod, and sentences are for people."""
    outcome, _ = run(pod)
    assert size(outcome.patch()) < 3 * size(pod) + 10_000
    assert len(outcome.warnings) <= 32
    assert all(len(text) < 400 for text in (outcome.sentence, *outcome.warnings))
    return outcome


def make_injected(count: int, sidecars: int = 1) -> Fields:
    pod = make_pod(f'metadata: {{annotations: {{{INJECTED}: \'{{"version":"1"}}\'}}}}')
    ours = [{"name": PROXY_CONTAINER, "image": "x"} for _ in range(sidecars)]
    theirs = [{"name": f"c{index}", "image": "x", "livenessProbe": PROBE} for index in range(count)]
    pod["spec"]["containers"] = [*ours, *theirs]
    return pod


def test_names_like_ours_are_looked_up_only_as_far_as_they_are_told() -> None:
    pod = make_pod(**{f"skip_inbound_por{index}": "" for index in range(4000)})
    outcome, calls = run(pod)
    assert calls[NEAR] == 8
    assert outcome.warnings[0].endswith(f"did you mean {OURS}skip-inbound-ports?")
    assert outcome.warnings[8:] == ("3992 more annotations are unknown and have no effect",)
    check(pod)


def test_a_name_that_is_too_long_for_ours_is_not_looked_up() -> None:
    outcome, calls = run(make_pod(**{"a" * 200_000: ""}))
    assert calls[NEAR] == 0
    assert len(outcome.warnings[0]) < 200


@pytest.mark.parametrize("member", ["annotations", "labels"])
def test_texts_that_the_server_would_refuse_are_not_looked_at(member: str) -> None:
    pod = make_pod()
    pod["metadata"][member] = {f"{OURS}skip-inbound-por{index}": "" for index in range(20_000)}
    outcome, calls = run(pod)
    assert outcome.sentence == f"its {member} are more than 256 KiB: shorten them"
    assert calls[NEAR] == 0


def test_what_the_sidecar_is_to_ask_is_written_once() -> None:
    outcome, calls = run(make_injected(CONTAINERS_MAX - 1))
    assert outcome.verdict is Verdict.INJECTED
    assert calls[ENCODE] == 1


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        (make_injected(3000), "it has more than 200 containers: split it up"),
        (make_injected(99, sidecars=100), "it has more than one container gossamer-proxy: remove all but one"),
    ],
    ids=["containers", "sidecars"],
)
def test_no_pod_is_like_this(pod: Fields, sentence: str) -> None:
    outcome, calls = run(pod)
    assert outcome.sentence == sentence
    assert calls[ENCODE] == 0


def test_a_list_that_is_longer_than_anybody_needs_is_not_read() -> None:
    outcome, calls = run(make_pod(skip_subnets="::/0," * 40_000))
    assert outcome.verdict is Verdict.REFUSED
    assert calls[SUBNET] == 0
    assert len(outcome.sentence) < 250


def probe(target: Any, handler: str = "httpGet", name: str = "web", count: int = 1) -> Fields:
    pod = make_pod()
    pod["spec"]["containers"] = [
        {"name": name if count == 1 else f"c{index}", "image": "x"}
        | {f"{kind}Probe": {handler: target} for kind in ("liveness", "readiness", "startup")}
        for index in range(count)
    ]
    return pod


@pytest.mark.parametrize(
    "pod",
    [
        probe({"port": "²"}, "tcpSocket"),
        probe({"port": "9" * 5000}, "tcpSocket"),
        probe({"port": {"a": ["b" * 5000]}}, "tcpSocket"),
        probe({"port": 80, "path": "/a\tb"}),
        probe({"port": 80, "path": ["/"]}),
        probe({"port": 80, "path": "/" * 1_000_000}),
        probe({"port": 80, "scheme": "ftp"}),
        probe({"port": 80, "httpHeaders": [{"name": "a", "value": "b\r\nc"}]}),
        probe({"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}),
        probe({"port": 80, "httpHeaders": [None]}),
        probe({"port": 80, "httpHeaders": {}}),
        probe({"port": 80, "service": "\ud800"}, "grpc"),
        probe({"port": 80}, name="a/b"),
        probe({"port": 80}, name="n" * 1_000_000),
    ],
    ids=range(14),
)
def test_a_probe_that_the_sidecar_cannot_ask_is_left_alone_with_a_warning(pod: Fields) -> None:
    outcome = check(pod)
    assert outcome.verdict is Verdict.INJECTED
    assert outcome.after["spec"]["containers"] == pod["spec"]["containers"]
    assert len(outcome.warnings) == 3


def test_probes_are_led_away_as_far_as_the_sidecar_has_room() -> None:
    outcome = check(probe({"port": 80}, count=CONTAINERS_MAX))
    told = json.loads(environment(find(outcome, PROXY_CONTAINER))["GOSSAMER_PROBES"])
    assert sum(map(len, told.values())) == 100
    assert "room for 100 probes" in outcome.warnings[0]
    assert len(outcome.warnings) == 8
    again = mesh(outcome.after)
    assert (again.reason, again.warnings) == ("already", outcome.warnings)


def test_what_probes_say_fits_into_a_variable() -> None:
    outcome = check(probe({"port": 80, "path": "/" + "é" * 700}, count=33))
    told = environment(find(outcome, PROXY_CONTAINER))["GOSSAMER_PROBES"]
    assert 10_000 < len(told.encode()) < 100_000
    assert "room for" in outcome.warnings[0]


@pytest.mark.parametrize("value", ['{"c0":5}', "[" * 100_000, "5", '{"c0":{"liveness":5}}', "\ud800"])
def test_what_stands_in_the_sidecars_environment_already_may_be_anything(value: str) -> None:
    pod = make_injected(1)
    pod["spec"]["containers"][0]["env"] = [{"name": "GOSSAMER_PROBES", "value": value}]
    outcome = mesh(pod)
    assert outcome.verdict is Verdict.INJECTED
    told = environment(find(outcome, PROXY_CONTAINER))["GOSSAMER_PROBES"]
    assert json.loads(told)["c0"]["liveness"] == PROBE


def test_nested_things_are_refused() -> None:
    target: Any = {"port": 80}
    for _ in range(5000):
        target = {"port": 80, "httpHeaders": [target]}
    outcome = mesh(probe(target))
    assert (outcome.verdict, outcome.sentence) == (Verdict.REFUSED, "it is nested too deeply")
