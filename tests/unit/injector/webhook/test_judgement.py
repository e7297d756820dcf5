from __future__ import annotations

from typing import Any

import pytest

from injector.patch import Outcome, Settings, Verdict
from injector.webhook.judgement import (
    About,
    Happening,
    Namespace,
    find_owner,
    judge,
    make_answer,
    make_failure_note,
    make_note,
)
from injector.webhook.review import Review
from mesh.contract import INJECT, OUR_ANNOTATIONS

MESHED = Namespace({INJECT: "enabled"})
SETTINGS = Settings()
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d", "uid": "u-9", "controller": True}


def make_pod(**metadata: Any) -> dict[str, Any]:
    return {"metadata": metadata, "spec": {"containers": [{"name": "app", "image": "web:1"}]}}


def make_review(pod: dict[str, Any] | None, is_dry_run: bool = False) -> Review:
    return Review("u-1", "shop", is_dry_run, pod)


def test_a_pod_of_a_meshed_namespace() -> None:
    pod = make_pod(name="web")
    review = make_review(pod)
    outcome = judge(review, pod, MESHED, SETTINGS)
    answer, note = make_answer(review, outcome), make_note(review, outcome)
    assert answer.patch
    assert not answer.refusal
    assert note is not None
    assert (note.about, note.happening) == (About("shop", "v1", "Pod", "web"), Happening.INJECTED)


def test_a_second_review_of_a_pod_changes_and_tells_nothing() -> None:
    pod = make_pod(name="web")
    after = judge(make_review(pod), pod, MESHED, SETTINGS).after
    review = make_review(after)
    outcome = judge(review, after, MESHED, SETTINGS)
    assert make_answer(review, outcome).patch == []
    assert make_note(review, outcome) is None


def test_a_pod_that_opts_out_is_let_through_and_told_of() -> None:
    pod = make_pod(name="web", annotations={INJECT: "disabled"})
    review = make_review(pod)
    outcome = judge(review, pod, MESHED, SETTINGS)
    answer, note = make_answer(review, outcome), make_note(review, outcome)
    assert (answer.patch, answer.refusal) == ([], "")
    assert note is not None
    assert note.happening is Happening.SKIPPED
    assert note.message == "no sidecar: it says gossamer.mesh/inject: disabled"


def test_what_makes_no_sense_is_refused() -> None:
    pod = make_pod(name="web", annotations={f"{OUR_ANNOTATIONS}proxy-await": "maybe"})
    review = make_review(pod)
    outcome = judge(review, pod, MESHED, SETTINGS)
    note = make_note(review, outcome)
    assert outcome.verdict is Verdict.REFUSED
    assert "proxy-await: 'maybe' is not true or false" in make_answer(review, outcome).refusal
    assert note is not None
    assert note.happening is Happening.FAILED


def test_a_dry_run_tells_nothing() -> None:
    pod = make_pod(name="web")
    review = make_review(pod, is_dry_run=True)
    outcome = judge(review, pod, MESHED, SETTINGS)
    assert make_answer(review, outcome).patch
    assert make_note(review, outcome) is None
    assert make_failure_note(review, "why") is None


def test_a_failure_is_told_of_the_owner() -> None:
    note = make_failure_note(make_review(make_pod(ownerReferences=[OWNER])), "why")
    assert note is not None
    assert (note.about.kind, note.happening, note.message) == ("ReplicaSet", Happening.FAILED, "why")


def test_the_kind_of_the_owner_counts_for_warnings() -> None:
    job = {**OWNER, "apiVersion": "batch/v1", "kind": "Job"}
    pod = make_pod(ownerReferences=[job], annotations={f"{OUR_ANNOTATIONS}native-sidecar": "false"})
    outcome = judge(make_review(pod), pod, MESHED, SETTINGS)
    assert any("a job never completes" in warning for warning in outcome.warnings)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (
            {"ownerReferences": [OWNER], "generateName": "web-7d-"},
            About("shop", "apps/v1", "ReplicaSet", "web-7d", "u-9"),
        ),
        ({"ownerReferences": [{**OWNER, "controller": False}], "name": "p"}, About("shop", "v1", "Pod", "p")),
        ({"ownerReferences": [{**OWNER, "uid": 7}], "name": "p"}, None),
        ({"ownerReferences": [{**OWNER, "name": "../../../../version"}], "name": "p"}, None),
        ({"ownerReferences": [{**OWNER, "name": "n" * 254}], "name": "p"}, None),
        ({"ownerReferences": [{**OWNER, "name": "a..b"}], "name": "p"}, None),
        ({"ownerReferences": [{**OWNER, "kind": "K" * 64}], "name": "p"}, None),
        ({"ownerReferences": [{**OWNER, "kind": "Call me: 1"}], "name": "p"}, None),
        ({"ownerReferences": [{**OWNER, "apiVersion": "see http://evil"}], "name": "p"}, None),
        ({"name": "web.two-3"}, About("shop", "v1", "Pod", "web.two-3")),
        ({"name": "../version"}, None),
        ({"ownerReferences": "mine", "name": "p"}, About("shop", "v1", "Pod", "p")),
        ({"generateName": "p-"}, None),
        ({"name": 7}, None),
    ],
)
def test_who_an_event_is_about(metadata: dict[str, Any], expected: About | None) -> None:
    assert find_owner(make_review(None), {"metadata": metadata}) == expected


def test_a_pod_without_metadata_is_nobodys() -> None:
    assert find_owner(make_review(None), {"metadata": None}) is None


def test_where_nobody_asked_nothing_is_told() -> None:
    pod = make_pod(name="web")
    review = make_review(pod)
    outcome = judge(review, pod, Namespace(), SETTINGS)
    assert outcome.reason == "not-asked"
    assert make_note(review, outcome) is None


def test_of_a_namespace_that_is_never_meshed_nothing_is_looked_at_and_told() -> None:
    pod = make_pod(name="web", annotations={INJECT: "URGENT: call us"})
    review = Review("u-1", "kube-system", False, pod)
    outcome = judge(review, pod, MESHED, SETTINGS)
    assert (outcome.verdict, outcome.reason) == (Verdict.SKIPPED, "namespace")
    assert make_note(review, outcome) is None


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(Verdict.REFUSED, make_pod(name="web"), {}, "refused", "a" * 1_000_000),
        Outcome(Verdict.SKIPPED, make_pod(name="web"), {}, "same-port", "a" * 1_000_000),
        Outcome(Verdict.INJECTED, make_pod(name="web"), {}, warnings=("a" * 1_000_000,) * 8),
    ],
)
def test_what_is_told_is_short(outcome: Outcome) -> None:
    note = make_note(make_review(outcome.before), outcome)
    assert note is not None
    assert "a" * 200 in note.message
    assert "a" * 301 not in note.message
    assert len(note.message) <= 1000
    failure = make_failure_note(make_review(make_pod(name="web")), "a" * 1_000_000)
    assert failure is not None
    assert len(failure.message) <= 1000
