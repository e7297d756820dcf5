from __future__ import annotations

import json

from mesh.contract import ENABLED, INJECT, OUR_ANNOTATIONS, PROXY_UID
from mesh.demo.application import PODS_PER_SERVICE
from mesh.demo.kubernetes.manifests import Application


def test_the_application_knows_nothing_of_the_mesh() -> None:
    text = json.dumps([*Application().everything()])
    assert INJECT not in text
    assert OUR_ANNOTATIONS not in text
    assert f'"runAsUser": {PROXY_UID}' not in text


def test_each_service_has_three_pods_and_a_budget() -> None:
    found = [*Application().servers()]
    replicas = {item["metadata"]["name"]: item["spec"]["replicas"] for item in found if item["kind"] == "Deployment"}
    assert replicas == {"emoji": PODS_PER_SERVICE, "voting": PODS_PER_SERVICE - 1, "voting-slow": 1}
    budgets = [item["spec"]["selector"]["matchLabels"] for item in found if item["kind"] == "PodDisruptionBudget"]
    assert budgets == [item["spec"]["selector"] for item in found if item["kind"] == "Service"]


def test_a_meshed_one_asks_for_the_sidecar_on_its_pods_and_selects_as_before() -> None:
    plain, meshed = ([*Application(is_meshed=wish).servers()] for wish in (False, True))
    for before, after in zip(plain, meshed, strict=True):
        if after["kind"] == "Deployment":
            assert after["spec"]["template"]["metadata"]["labels"].pop(INJECT) == ENABLED
        assert before == after
    pod = Application(is_meshed=True).visitors("web", 20, 1, 2)
    assert pod["metadata"]["labels"][INJECT] == ENABLED
