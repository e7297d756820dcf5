"""What an upgrade leaves over."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.install.builder import Object, build
from mesh.install.cluster import PLACES, Record
from mesh.install.leftovers import advise, find_leftovers
from mesh.install.stored import warn_of_pins
from mesh.install.values import complete
from mesh.version import VERSION

ALL = complete({"createNamespace": True, "podDisruptionBudget": True, "injector.replicas": 2})
SECRET = {"kind": "Secret", "metadata": {"name": "gossamer-injector", "namespace": "gossamer"}}
OTHERS: list[Object] = [
    {"kind": "Secret", "metadata": {"name": "gossamer-identity", "namespace": "gossamer"}},
    {"kind": "Lease", "metadata": {"name": "gossamer-controlplane", "namespace": "gossamer"}},
]
PLURALS = {place.kind: place.plural for place in PLACES}


def install(values: dict[str, Any]) -> list[Object]:
    """As it is found, with what the parts have made."""
    kinds = [place.kind for place in PLACES]
    return sorted([*build(values, "gossamer"), SECRET, *OTHERS], key=lambda item: kinds.index(item["kind"]))


def find(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    found = find_leftovers(install(before), build(after, "gossamer"))
    return [f"{item['kind']} {item['metadata']['name']}" for item in found]


def test_nothing_is_left_over_of_the_same() -> None:
    assert find(ALL, ALL) == []
    assert find(complete(), ALL) == []


def test_all_of_an_injector_that_is_turned_off_the_webhook_first() -> None:
    found = find(ALL, {**ALL, "injector.enabled": False})
    assert [item.removesuffix(" gossamer-injector") for item in found] == [
        "MutatingWebhookConfiguration",
        "PodDisruptionBudget",
        "Deployment",
        "Service",
        "RoleBinding",
        "Role",
        "ClusterRoleBinding",
        "ClusterRole",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingAdmissionPolicy",
        "Secret",
        "ConfigMap",
        "ServiceAccount",
    ]


def test_the_namespace_and_what_parts_have_made_are_never_left_over() -> None:
    assert find(ALL, complete()) == ["PodDisruptionBudget gossamer-injector"]


def test_the_advice_is_one_command() -> None:
    leftovers = find_leftovers(install(ALL), build({**ALL, "injector.enabled": False}, "gossamer"))
    said = advise(leftovers, "gossamer", PLURALS)
    command = "kubectl --namespace gossamer delete mutatingwebhookconfigurations/gossamer-injector "
    assert f"when this is applied: {command}" in said
    assert said.endswith("configmaps/gossamer-injector serviceaccounts/gossamer-injector")


@pytest.mark.parametrize(
    ("version", "stored", "changes", "said"),
    [
        ("0.0.1", {"image.tag": "7"}, [], "image.tag stays 7, as it was set, though Gossamer 0.0.1 becomes"),
        ("0.0.1", {"image.tag": "7"}, [{"controlPlane.replicas": 2}], "; --set image.tag= lets the image follow"),
        ("0.0.1", {"image.tag": "7", "image.digest": "sha256:1"}, [], "--set image.tag= --set image.digest= lets"),
        ("0.0.1", {"image.tag": "7"}, [{"image.tag": "8"}], ""),
        ("0.0.1", {}, [], ""),
        (VERSION, {"image.tag": "7"}, [], ""),
    ],
)
def test_an_image_that_does_not_follow_is_said(
    version: str,
    stored: dict[str, Any],
    changes: list[dict[str, Any]],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warn_of_pins(Record(version, stored, ""), changes)
    found = capsys.readouterr().err
    assert said in found
    assert bool(found) == bool(said)
