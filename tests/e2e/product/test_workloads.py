"""What operators do to workloads, while visitors with plain grpcio clients go on: nothing fails, balancing follows."""

from __future__ import annotations

import pytest

from mesh.demo.application import PODS_PER_SERVICE
from tests.e2e.product.scene import ENOUGH, Voting, has_sidecar, wait_until

pytestmark = pytest.mark.timeout(1200)  # the first time, an image is built
SERVICES = ("emoji", "voting")


def test_one_channel_reaches_all_pods_and_spares_the_slow_one(steady: Voting) -> None:
    for app in SERVICES:
        pods = steady.pods(app)
        assert len(pods) == PODS_PER_SERVICE
        assert all(has_sidecar(pod) for pod in pods.values())
        steady.wait_answers({*pods}, f"all pods of {app} to answer")
    (slow,) = (name for name in steady.pods("voting") if name.startswith("voting-slow"))
    others = steady.pods("voting").keys() - {slow}

    def is_spared() -> bool:
        """By far less than its share of ten seconds' calls: on a machine that is busy for a moment, all are slow."""
        calls = len(steady.calls())
        answers = steady.answers_since(calls - 4 * ENOUGH)
        return calls >= 4 * ENOUGH and 2 * answers[slow] < min(answers[name] for name in others)

    wait_until(is_spared, "the slow pod to be spared", every_s=1.0)


def test_more_and_fewer_replicas(steady: Voting) -> None:
    before = {*steady.pods("voting")}
    steady.kubectl("scale", "deployment/voting", "--replicas=4")
    steady.wait_rollouts("voting")
    added = {*steady.pods("voting")} - before
    assert len(added) == 2
    steady.wait_answers(added, "the new pods to answer")
    all_pods = {*steady.pods("voting")}
    steady.kubectl("scale", "deployment/voting", "--replicas=2")
    steady.wait_rollouts("voting")
    steady.wait_gone(all_pods - {*steady.pods("voting")})


def test_rollout_and_rollback(steady: Voting) -> None:
    before = {*steady.pods("voting")}
    for action in ("restart", "undo"):
        steady.kubectl("rollout", action, "deployment/voting")
        steady.wait_rollouts("voting")
    after = {*steady.pods("voting")}
    assert len(before & after) == 1  # that of the other Deployment
    assert {name.rpartition("-")[0] for name in before} == {name.rpartition("-")[0] for name in after}  # ReplicaSets
    steady.wait_gone(before - after)
    steady.wait_answers(after, "all new pods to answer")


def test_a_pod_is_deleted_and_the_others_are_evicted_one_at_a_time(steady: Voting) -> None:
    before = {*steady.pods("emoji")}
    deleted, *others = before
    steady.kubectl("delete", "pod", deleted, "--wait=false")
    for name in others:
        steady.evict(name)
    steady.wait_gone(before)
    steady.wait_rollouts("emoji")
    steady.wait_answers({*steady.pods("emoji")}, "the pods in their places to answer")
