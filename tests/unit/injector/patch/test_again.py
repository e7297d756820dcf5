"""A pod that the webhook has injected comes again, since another webhook has changed it meanwhile."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given

from injector.patch import Outcome, Place, Settings, Verdict, inject, uninject
from mesh.contract import INIT_CONTAINER, INJECT, INJECTED, PROXY_CONTAINER
from tests.unit.injector.patch.applying import apply
from tests.unit.injector.patch.pods import Fields, environment, find, make_pod, mesh, names
from tests.unit.injector.patch.test_removal import PODS

MESHED = Place("shop", {INJECT: "enabled"})
PROBED = "spec: {containers: [{name: web, image: a, readinessProbe: {tcpSocket: {port: 80}}}]}"
PLAIN = Settings(defaults={"native-sidecar": "false"})


def review(pod: Fields, settings: Settings | None = None) -> Outcome:
    """As the webhook does; the patch is what counts."""
    outcome = inject(pod, MESHED, settings or Settings())
    assert apply(pod, outcome.patch()) == outcome.after
    return outcome


def make_injected(text: str = PROBED, settings: Settings | None = None, **options: str) -> Fields:
    outcome = review(make_pod(text, **options), settings)
    assert outcome.verdict is Verdict.INJECTED
    return deepcopy(outcome.after)


@given(PODS)
def test_where_nobody_changed_anything_nothing_changes(pod: Fields) -> None:
    for settings in (Settings(), PLAIN, Settings(defaults={"opaque-ports": "5672"})):
        once = inject(pod, MESHED, settings)
        assert once.verdict is Verdict.INJECTED
        again = inject(once.after, MESHED, settings)
        assert (again.reason, again.patch()) == ("already", [])
        assert uninject(once.after).after == pod


@pytest.mark.parametrize("member", ["labels", "annotations"])
def test_who_is_opted_out_meanwhile_gets_rid_of_the_sidecar(member: str) -> None:
    pod = make_injected()
    pod["metadata"].setdefault(member, {})[INJECT] = "disabled"
    outcome = review(pod)
    assert (outcome.verdict, outcome.reason) == (Verdict.SKIPPED, "opted-out")
    expected = make_pod(PROBED)
    expected["metadata"][member] = {INJECT: "disabled"}
    assert outcome.after == expected


def test_a_label_of_the_pod_itself_still_counts() -> None:
    pod = make_pod(f"metadata: {{labels: {{{INJECT}: enabled}}}}")
    once = inject(pod, Place("shop"), Settings())
    assert once.verdict is Verdict.INJECTED
    assert inject(once.after, Place("shop"), Settings()).reason == "already"


def test_what_is_asked_for_meanwhile_is_done() -> None:
    pod = make_injected()
    pod["metadata"]["annotations"]["config.gossamer.mesh/skip-inbound-ports"] = "8080"
    outcome = review(pod)
    assert outcome.verdict is Verdict.INJECTED
    assert find(outcome, INIT_CONTAINER)["command"][3:] == ["--skip-inbound-ports", "8080"]
    assert outcome.after == make_injected(skip_inbound_ports="8080")
    assert review(outcome.after).reason == "already"


def test_what_is_refused_is_refused_meanwhile_too() -> None:
    pod = make_injected()
    pod["metadata"]["annotations"]["config.gossamer.mesh/skip-inbound-ports"] = "http"
    assert review(pod).verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"securityContext": {"runAsUser": 2102}}, "same-user"),
        ({"os": {"name": "windows"}}, "windows"),
    ],
)
def test_what_speaks_against_a_sidecar_does_so_meanwhile_too(change: Fields, reason: str) -> None:
    pod = make_injected()
    pod["spec"] |= change
    outcome = review(pod)
    assert (outcome.verdict, outcome.reason) == (Verdict.SKIPPED, reason)
    assert outcome.after["spec"] == make_pod(PROBED)["spec"] | change


def test_a_nodes_network_is_never_led_away() -> None:
    for pod in (make_injected(), deepcopy(mesh(make_pod()).after)):
        pod["spec"]["hostNetwork"] = True
        outcome = review(pod)
        assert outcome.verdict is Verdict.REFUSED
        assert outcome.sentence.startswith("hostNetwork together with our containers")


def test_a_shorter_life_meanwhile_is_shared_out_anew() -> None:
    pod = make_injected()
    pod["spec"]["terminationGracePeriodSeconds"] = 9
    assert environment(find(review(pod), PROXY_CONTAINER))["GOSSAMER_DRAIN_DELAY"] == "3s"


def test_the_rules_of_a_plain_sidecar_come_last_again() -> None:
    pod = make_injected(settings=PLAIN)
    pod["spec"]["initContainers"].append({"name": "vault-agent-init", "image": "v"})
    outcome = review(pod, PLAIN)
    assert outcome.verdict is Verdict.INJECTED
    assert names(outcome, "initContainers") == ["vault-agent-init", INIT_CONTAINER]
    assert names(outcome, "containers") == [PROXY_CONTAINER, "web"]
    assert review(outcome.after, PLAIN).reason == "already"


def test_a_native_sidecar_stays_where_it_is() -> None:
    pod = make_injected()
    pod["spec"]["initContainers"].append({"name": "vault-agent-init", "image": "v"})
    assert review(pod).patch() == []


@pytest.mark.parametrize("late", [False, True])
def test_what_others_did_to_our_containers_stays(late: bool) -> None:
    """Registries, pull policies, mounts and limits: the API server's own plugins change them too."""
    pod = make_injected()
    theirs: dict[str, Any] = {
        "image": "mirror.local/gossamer/mesh",
        "imagePullPolicy": "Always",
        "resources": {"limits": {"cpu": "1"}},
        "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
    }
    for container in pod["spec"]["initContainers"]:
        container |= theirs
    if late:
        pod["spec"]["containers"].append({"name": "late", "image": "x", "livenessProbe": {"tcpSocket": {"port": 81}}})
    outcome = review(pod)
    assert (outcome.verdict is Verdict.INJECTED) is late
    for name in (INIT_CONTAINER, PROXY_CONTAINER):
        assert theirs.items() <= find(outcome, name).items()
    assert ("late" in environment(find(outcome, PROXY_CONTAINER))["GOSSAMER_PROBES"]) is late
    assert review(outcome.after).reason == "already"


def test_a_container_that_comes_later_costs_no_record() -> None:
    pod = make_injected(settings=Settings(defaults={"opaque-ports": "5672"}))
    pod["spec"]["containers"].append({"name": "late", "image": "x", "livenessProbe": {"tcpSocket": {"port": 81}}})
    outcome = review(pod, Settings(defaults={"opaque-ports": "5672"}))
    expected = make_pod(PROBED)
    expected["spec"]["containers"].append({"name": "late", "image": "x", "livenessProbe": {"tcpSocket": {"port": 81}}})
    assert uninject(outcome.after).after == expected


@pytest.mark.parametrize("options", [{"native_sidecar": "false"}, {"proxy_uid": "2103"}])
def test_what_somebody_wrote_out_by_hand_is_theirs(options: dict[str, str]) -> None:
    """With settings of their own, which are in the sidecar and nowhere else."""
    defaults = {name.replace("_", "-"): value for name, value in options.items()}
    pod = mesh(make_pod(), settings=Settings(defaults=defaults)).after
    outcome = review(pod)
    assert (outcome.reason, outcome.patch()) == ("already", [])


def test_a_sidecar_of_another_version_is_left_alone() -> None:
    pod = make_injected()
    record = pod["metadata"]["annotations"][INJECTED]
    pod["metadata"]["annotations"][INJECTED] = record.replace('"version":"', '"version":"0')
    pod["spec"]["terminationGracePeriodSeconds"] = 9
    assert review(pod).patch() == []
