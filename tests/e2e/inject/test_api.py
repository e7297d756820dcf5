"""What the injector writes, before a real API server: strict validation, PodSecurity, and kubectl there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from injector.patch import Place, Settings, inject
from tests.cluster.api_server import ApiServer
from tests.cluster.client import ApiError
from tests.e2e.inject.conftest import Run

GOLDEN = Path(__file__).parents[2] / "golden" / "inject"
NAMESPACES = ("voting", "data", "monitoring", "queues", "strict")
# Of a cluster: it names versions of objects that are not there.
FROM_CLUSTER = "kubectl"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {port: http}, periodSeconds: 3}
        livenessProbe: {tcpSocket: {port: http}}
"""


def make_pod(name: str, **annotations: str) -> dict[str, Any]:
    ours = {f"config.gossamer.mesh/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": ours},
        "spec": {"containers": [{"name": "web", "image": "web:1", "securityContext": RESTRICTED}]},
    }


def sidecar_names(deployment: dict[str, Any]) -> list[str]:
    return [item["name"] for item in deployment["spec"]["template"]["spec"].get("initContainers", ())]


@pytest.mark.parametrize("mode", ["label", "manual"])
def test_the_server_takes_every_field(mode: str, api_server: ApiServer, kubectl: Run) -> None:
    for name in NAMESPACES:
        api_server.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    files = [path for path in sorted(GOLDEN.glob(f"*.{mode}.*")) if not path.name.startswith(FROM_CLUSTER)]
    assert len(files) > 8
    options = [word for path in files for word in ("--filename", str(path))]
    done = kubectl("apply", "--validate=strict", "--dry-run=server", *options)
    about_us = [line for line in done.stderr.splitlines() if not line.startswith("Warning: resource namespaces/")]
    assert (done.returncode, about_us) == (0, [])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"native_sidecar": "false"},
        {"interception": "none"},
        {"interception": "none", "native_sidecar": "false"},
        {
            "proxy_cpu_limit": "1",
            "proxy_memory_limit": "64Mi",
            "proxy_uid": "65534",
            "skip_subnets": "10.0.0.0/8,fd00::/8",
            "opaque_ports": "25,3306",
            "proxy_image_pull_policy": "Never",
        },
    ],
    ids=str,
)
def test_the_server_takes_a_patched_pod_as_it_is(
    options: dict[str, str], api_server: ApiServer, namespace: str
) -> None:
    """Strictly, and with what it fills in left where we put it."""
    after = inject(make_pod("web", **options), Place(namespace, is_asked=True), Settings()).after
    resource = api_server.client.resource("v1/Pod")
    made = api_server.client.request("POST", f"{resource.path(namespace)}?dryRun=All&fieldValidation=Strict", after)
    assert inject(made, Place(namespace, is_asked=True), Settings()).reason == "already"
    for member in ("initContainers", "containers"):
        ours = [item for item in after["spec"].get(member, ()) if item["name"].startswith("gossamer-")]
        theirs = {item["name"]: item for item in made["spec"].get(member, ())}
        for container in ours:
            kept = {name: theirs[container["name"]][name] for name in container}
            assert kept == container | {"volumeMounts": theirs[container["name"]]["volumeMounts"]}


@pytest.mark.parametrize("native", ["true", "false"])
def test_the_applications_token_is_the_applications_alone(native: str, api_server: ApiServer, namespace: str) -> None:
    """The API server's own plugin mounts it, wherever nothing is mounted yet."""
    after = inject(make_pod("web", native_sidecar=native), Place(namespace, is_asked=True), Settings()).after
    made = api_server.client.create(after, namespace)
    containers = [*made["spec"]["initContainers"], *made["spec"]["containers"]]
    volumes = {item["name"]: item for item in made["spec"]["volumes"]}
    found = {
        container["name"]: [*volumes[mount["name"]]]
        for container in containers
        for mount in container["volumeMounts"]
        if mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    }
    assert found == {
        "gossamer-init": ["name", "emptyDir"],
        "gossamer-proxy": ["name", "emptyDir"],
        "web": ["name", "projected"],
    }


@pytest.mark.parametrize(
    "whole",
    [
        {"requests": {"cpu": "50m", "memory": "32Mi"}},
        {"limits": {"cpu": "5m", "memory": "16Mi"}},
        {"requests": {"cpu": "5m"}, "limits": {"memory": "16Mi"}},
        {"requests": {"cpu": "5m"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"native_sidecar": "false", "proxy_cpu_limit": "1"}], ids=str)
def test_a_pod_with_resources_as_a_whole_is_admitted(
    whole: dict[str, dict[str, str]], options: dict[str, str], api_server: ApiServer, namespace: str
) -> None:
    pod = make_pod("web", **options)
    pod["spec"]["resources"] = whole
    after = inject(pod, Place(namespace, is_asked=True), Settings()).after
    resource = api_server.client.resource("v1/Pod")
    made = api_server.client.request("POST", f"{resource.path(namespace)}?dryRun=All&fieldValidation=Strict", after)
    assert all(said.items() <= made["spec"]["resources"][name].items() for name, said in whole.items())


@pytest.mark.parametrize(
    ("level", "options", "is_admitted"),
    [
        ("restricted", {"interception": "none"}, True),
        ("restricted", {"interception": "none", "native_sidecar": "false"}, True),
        ("restricted", {}, False),
        ("baseline", {}, False),
        ("privileged", {}, True),
    ],
)
def test_what_pod_security_admits(
    level: str, options: dict[str, str], is_admitted: bool, api_server: ApiServer, namespace: str
) -> None:
    enforce = {"pod-security.kubernetes.io/enforce": level}
    api_server.client.patch("Namespace", namespace, {"metadata": {"labels": enforce}})
    outcome = inject(make_pod("web", **options), Place(namespace, enforce, is_asked=True), Settings())
    assert any("PodSecurity" in warning for warning in outcome.warnings) is not is_admitted
    if is_admitted:
        assert api_server.client.create(outcome.after, namespace)["metadata"]["name"] == "web"
        return
    with pytest.raises(ApiError, match="gossamer-init") as refusal:
        api_server.client.create(outcome.after, namespace)
    assert refusal.value.status == 403


@pytest.mark.parametrize(("mode", "form"), [([], "yaml"), (["--manual"], "yaml"), (["--manual"], "json")], ids=str)
def test_what_kubectl_gets_goes_through_and_back(
    mode: list[str], form: str, kubectl: Run, mesh: Run, namespace: str
) -> None:
    scope = ("--namespace", namespace)
    assert kubectl("apply", *scope, "--filename", "-", text=DEPLOYMENT).returncode == 0

    def get() -> dict[str, Any]:
        return dict(json.loads(kubectl("get", "deployment", "web", *scope, "--output", "json").stdout))

    def pass_through(*command: str) -> str:
        found = kubectl("get", "deployments", *scope, "--output", form).stdout
        done = mesh(*command, "-", text=found)
        assert done.returncode == 0, done.stderr
        applied = kubectl("apply", *scope, "--validate=strict", "--filename", "-", text=done.stdout)
        if "the object has been modified" in applied.stderr:  # by a controller, since it was read
            return pass_through(*command)
        assert (applied.returncode, applied.stderr) == (0, "")
        return done.stderr

    before = get()
    assert f"deployment/web in {namespace}" in pass_through("inject", *mode)
    injected = get()
    assert sidecar_names(injected) == (["gossamer-init", "gossamer-proxy"] if mode else [])
    label = injected["spec"]["template"]["metadata"]["labels"].get("gossamer.mesh/inject")
    assert label == (None if mode else "enabled")
    assert "skipped" in pass_through("inject", *mode)
    assert get()["spec"] == injected["spec"]
    assert "removed" in pass_through("uninject")
    assert get()["spec"] == before["spec"]
