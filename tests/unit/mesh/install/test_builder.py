"""The objects of an installation: deterministic, with the rights that are tested, and fit for `restricted`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.options import parse
from injector.configuration import merge
from injector.configuration import parse as parse_settings
from injector.options import parse as parse_injector
from injector.patch.settings import SYSTEM_NAMESPACES
from injector.webhook.server import PATH
from mesh.install.builder import ORDER, Object, build, write
from mesh.install.keys import HIGH_AVAILABILITY, KEYS
from mesh.install.values import changes_of, complete

RBAC = Path(__file__).parents[4] / "docs" / "rbac"
EVERYTHING = complete(HIGH_AVAILABILITY, {"createNamespace": True, "proxy": {"drain-delay": "7s"}})
SINGLE = complete({"singleNamespace": True})


def pick(objects: list[Object], kind: str, name: str = "") -> Object:
    (found,) = [item for item in objects if item["kind"] == kind and item["metadata"]["name"].endswith(name)]
    return found


def container(objects: list[Object], name: str) -> Object:
    spec = pick(objects, "Deployment", name)["spec"]["template"]["spec"]
    found: Object = spec["containers"][0]
    return found


def test_the_same_values_give_the_same_bytes() -> None:
    assert write(build(EVERYTHING, "gossamer")) == write(build(dict(reversed(EVERYTHING.items())), "gossamer"))


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "y", "N", "yes", "1_000", ".5", "+1", "-", "~", "", "a: b", "0x1f", "=", "<<"]
)
def test_texts_stay_texts_for_parsers_of_go(text: str) -> None:
    """Those know more numbers and flags than PyYAML: what could be one is quoted."""
    line = write([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": text}}]).splitlines()[-1]
    assert yaml.safe_load(line) == {"name": text}
    assert line.partition(": ")[2][0] in "'-"


def test_no_key_and_no_ca_bundle_is_written() -> None:
    text = write(build(EVERYTHING, "gossamer"))
    assert "caBundle:" not in text
    assert "kind: Secret" not in text


def test_objects_come_before_those_that_refer_to_them() -> None:
    kinds = [item["kind"] for item in build(EVERYTHING, "gossamer")]
    assert kinds == sorted(kinds, key=ORDER.index)
    assert (kinds[0], kinds[-1]) == ("Namespace", "MutatingWebhookConfiguration")


@pytest.mark.parametrize(
    ("file", "kind", "values"),
    [
        ("cluster", "ClusterRole", EVERYTHING),
        ("namespace", "Role", SINGLE),
        ("injector", "ClusterRole", EVERYTHING),
        ("injector", "Role", EVERYTHING),
    ],
)
def test_rights_are_those_of_the_documents_which_are_tested(file: str, kind: str, values: dict[str, Any]) -> None:
    objects = yaml.safe_load_all((RBAC / f"{file}.yaml").read_text())
    (tested,) = [item for item in objects if item["kind"] == kind]
    assert pick(build(values, "gossamer"), kind, tested["metadata"]["name"])["rules"] == tested["rules"]


def test_a_single_namespace_has_nothing_outside() -> None:
    objects = build(complete({"singleNamespace": True}), "shop")
    assert {item["metadata"].get("namespace") for item in objects} == {"shop"}
    assert "--namespace=shop" in container(objects, "controlplane")["args"]
    assert not [item for item in objects if "injector" in item["metadata"]["name"]]


@pytest.mark.parametrize("values", [complete(), EVERYTHING, SINGLE])
def test_the_control_plane_understands_its_arguments(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    command, *arguments = container(build(values, "shop"), "controlplane")["args"]
    options = parse(arguments)
    assert command == "controlplane"
    assert options.close_when_stale == (values["controlPlane.replicas"] > 1)
    assert options.namespace == ("shop" if values["singleNamespace"] else None)


def test_the_injector_understands_its_arguments_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_NAMESPACE", "mesh-2")
    objects = build(complete({"proxy": {"drain-delay": "7s"}, "image.tag": "9"}), "mesh-2")
    command, *arguments = container(objects, "injector")["args"]
    options = parse_injector(arguments)
    spec = pick(objects, "Deployment", "injector")["spec"]["template"]["spec"]
    mount = container(objects, "injector")["volumeMounts"][0]
    (file, text), *_ = pick(objects, "ConfigMap", "injector")["data"].items()
    settings = merge(options.settings, parse_settings(text), options.namespace)
    assert (command, options.namespace, options.config) == ("injector", "mesh-2", f"{mount['mountPath']}/{file}")
    assert spec["volumes"] == [{"name": mount["name"], "configMap": {"name": "gossamer-injector"}}]
    assert settings.defaults["proxy-image"] == "gossamer/mesh:9"
    assert settings.defaults["drain-delay"] == "7s"
    assert settings.control_plane == "gossamer-controlplane.mesh-2.svc.cluster.local:4150"
    hooks = pick(objects, "MutatingWebhookConfiguration", options.webhook)["webhooks"]
    called = hooks[0]["clientConfig"]["service"]
    assert f"{called['name']}.{called['namespace']}.svc" in options.names
    assert called["path"] == PATH


def test_the_injector_is_kept_to_its_ca_bundle_unless_that_is_not_wanted() -> None:
    objects = build(complete(), "mesh-2")
    spec = pick(objects, "ValidatingAdmissionPolicy", "gossamer-injector")["spec"]
    account = pick(objects, "ServiceAccount", "gossamer-injector")["metadata"]
    user = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert [found["expression"] for found in spec["matchConditions"]] == [f"request.userInfo.username == '{user}'"]
    assert not spec["matchConstraints"].keys() - {"resourceRules"}
    assert pick(objects, "ValidatingAdmissionPolicyBinding")["spec"]["policyName"] == "gossamer-injector"
    for values in ({"injector.admissionPolicy": False}, {"injector.enabled": False}, {"singleNamespace": True}):
        assert not [item for item in build(complete(values), "mesh-2") if "AdmissionPolicy" in item["kind"]]


@pytest.mark.parametrize("is_single", [False, True])
def test_network_policies_name_ports_that_pods_have_and_let_the_mesh_in(is_single: bool) -> None:
    values = {"networkPolicy.enabled": True, "singleNamespace": is_single}
    objects = build(complete(values, {"networkPolicy.webhook": [{"ipBlock": {"cidr": "10.0.0.0/28"}}]}), "shop")
    found = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "NetworkPolicy"}
    assert list(found) == ["gossamer-controlplane"] + ([] if is_single else ["gossamer-injector"])
    for name, spec in found.items():
        labels = pick(objects, "Deployment", name)["spec"]["template"]["metadata"]["labels"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()
        ports = {port["name"] for port in container(objects, name)["ports"]}
        assert [port["port"] for rule in spec["ingress"] for port in rule["ports"]] == sorted(ports, key=by_number)
    (source,) = found["gossamer-controlplane"]["ingress"][0]["from"]
    chosen = source["namespaceSelector"]
    here = {"kubernetes.io/metadata.name": "shop"}
    assert chosen.get("matchLabels") == (here if is_single else None)
    assert "from" not in found["gossamer-controlplane"]["ingress"][1]


def by_number(port: str) -> list[str]:
    """Admin ports come last."""
    return [str(port == "http-admin"), port]


def test_an_image_is_named_by_its_digest_everywhere() -> None:
    name = f"mine/mesh@sha256:{'0a' * 32}"
    objects = build(complete({"image.name": "mine/mesh", "image.tag": "9", "image.digest": name[10:]}), "gossamer")
    assert [container(objects, part)["image"] for part in ("controlplane", "injector")] == [name, name]
    assert f"--image={name}" in container(objects, "injector")["args"]


def test_every_selector_finds_its_pods_and_ports_have_names() -> None:
    objects = build(EVERYTHING, "gossamer")
    for name in ("controlplane", "injector"):
        template = pick(objects, "Deployment", name)["spec"]["template"]
        service = pick(objects, "Service", name)["spec"]
        chosen = [
            service["selector"],
            pick(objects, "Deployment", name)["spec"]["selector"]["matchLabels"],
            pick(objects, "PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"],
        ]
        assert all(selector.items() <= template["metadata"]["labels"].items() for selector in chosen)
        ports = {port["name"] for port in container(objects, name)["ports"]}
        assert {port["targetPort"] for port in service["ports"]} <= ports
        assert container(objects, name)["readinessProbe"]["httpGet"]["port"] in ports


def matches(selector: Object, labels: dict[str, str]) -> bool:
    return all(
        (labels.get(term["key"]) in term["values"]) == (term["operator"] == "In")
        for term in selector["matchExpressions"]
    )


@pytest.mark.parametrize("namespace", [*sorted(SYSTEM_NAMESPACES), "gossamer"])
def test_the_webhook_is_never_asked_for_the_system_or_the_mesh(namespace: str) -> None:
    hooks = pick(build(EVERYTHING, "gossamer"), "MutatingWebhookConfiguration")["webhooks"]
    for asked in ({}, {"gossamer.mesh/inject": "enabled"}):
        labels = {"kubernetes.io/metadata.name": namespace, **asked}
        assert not [hook for hook in hooks if matches(hook["namespaceSelector"], labels)]


@pytest.mark.parametrize(
    ("namespace", "pod", "count"),
    [
        ({}, {}, 0),
        ({"gossamer.mesh/inject": "enabled"}, {}, 1),
        ({"gossamer.mesh/inject": "enabled"}, {"gossamer.mesh/inject": "enabled"}, 1),
        ({"gossamer.mesh/inject": "enabled"}, {"gossamer.mesh/inject": "disabled"}, 0),
        ({}, {"gossamer.mesh/inject": "enabled"}, 1),
        ({"gossamer.mesh/inject": "disabled"}, {"gossamer.mesh/inject": "enabled"}, 1),
        ({"gossamer.mesh/inject": "enabled"}, {"app.kubernetes.io/part-of": "gossamer"}, 0),
    ],
)
def test_who_asks_for_the_sidecar_is_reviewed_once(namespace: dict[str, str], pod: dict[str, str], count: int) -> None:
    hooks = pick(build(EVERYTHING, "gossamer"), "MutatingWebhookConfiguration")["webhooks"]
    labels = {"kubernetes.io/metadata.name": "shop", **namespace}
    asked = [
        hook for hook in hooks if matches(hook["namespaceSelector"], labels) and matches(hook["objectSelector"], pod)
    ]
    assert len(asked) == count


def test_the_record_holds_what_is_not_default() -> None:
    data = pick(build(EVERYTHING, "gossamer"), "ConfigMap", "config")["data"]
    assert data.pop("version")
    assert {name.removeprefix("values."): yaml.safe_load(text) for name, text in data.items()} == changes_of(EVERYTHING)


def test_no_object_is_empty_anywhere() -> None:
    """What is empty would be null in the chart."""
    bare = complete(
        {key.name: "" for key in KEYS if ".resources." in key.name}, {"nodeSelector": {"kubernetes.io/os": None}}
    )

    def find_empty(item: Any, path: str) -> list[str]:
        parts = item.items() if isinstance(item, dict) else enumerate(item) if isinstance(item, list) else ()
        inner = [found for name, part in parts for found in find_empty(part, f"{path}.{name}")]
        return [path, *inner] if item in ({}, []) else inner

    for values in (bare, EVERYTHING):
        assert not [found for item in build(values, "gossamer") for found in find_empty(item, item["kind"])]
