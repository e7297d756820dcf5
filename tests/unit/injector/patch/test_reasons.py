from __future__ import annotations

import pytest

from injector.patch import Place, Settings, Verdict
from mesh.contract import INJECT
from tests.unit.injector.patch.pods import ASKED, make_pod, mesh

ENABLED, DISABLED = {INJECT: "enabled"}, {INJECT: "disabled"}


def windows(*terms: str) -> str:
    """A pod for nodes of which one of these lists of expressions holds."""
    text = ", ".join(f"{{matchExpressions: {term}}}" for term in terms)
    return (
        "spec: {affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
        f"{{nodeSelectorTerms: [{text}]}}}}}}}}"
    )


@pytest.mark.parametrize(
    ("pod", "word", "part"),
    [
        ("spec: {hostNetwork: true}", "host-network", "those of the node"),
        ("spec: {os: {name: windows}}", "windows", "Windows nodes"),
        ("spec: {nodeSelector: {kubernetes.io/os: windows}}", "windows", "Windows nodes"),
        (windows("[{key: kubernetes.io/os, operator: In, values: [windows]}]"), "windows", "Windows nodes"),
        ("metadata: {annotations: {kubernetes.io/config.mirror: abc}}", "mirror", "a static pod"),
        ("spec: {initContainers: [{name: gossamer-init}]}", "same-name", "a container gossamer-init of its own"),
        ("spec: {volumes: [{name: gossamer-run, emptyDir: {}}]}", "same-name", "a volume gossamer-run of its own"),
        ("spec: {volumes: [{name: gossamer-identity}]}", "same-name", "a volume gossamer-identity of its own"),
        ("spec: {containers: [{name: web}, {name: istio-proxy}]}", "other-mesh", "Istio's container istio-proxy"),
        ("spec: {initContainers: [{name: linkerd-init}]}", "other-mesh", "Linkerd's container linkerd-init"),
        ("spec: {initContainers: [{name: gossamer-proxy}]}", "already", "has the sidecar already"),
        ("spec: {containers: [{name: gossamer-proxy}]}", "already", "has the sidecar already"),
        ("spec: {securityContext: {runAsUser: 2102}}", "same-user", "container web runs as user 2102"),
        (
            "spec: {initContainers: [{name: setup, securityContext: {runAsUser: 2102}}]}",
            "same-user",
            "container setup runs as user 2102",
        ),
        ("spec: {containers: [{name: web, ports: [{containerPort: 4143}]}]}", "same-port", "has port 4143"),
        ('metadata: {labels: {gossamer.mesh/inject: "disabled"}}', "opted-out", "it says gossamer.mesh/inject"),
        ('metadata: {annotations: {gossamer.mesh/inject: "disabled"}}', "opted-out", "it says gossamer.mesh/inject"),
    ],
)
def test_a_pod_is_left_alone_and_told_why(pod: str, word: str, part: str) -> None:
    outcome = mesh(make_pod(pod))
    assert (outcome.verdict, outcome.reason) == (Verdict.SKIPPED, word)
    assert part in outcome.sentence
    assert outcome.after is outcome.before
    assert outcome.patch() == []


@pytest.mark.parametrize("namespace", ["kube-system", "gossamer"])
def test_some_namespaces_are_never_meshed(namespace: str) -> None:
    outcome = mesh(make_pod(), Place(namespace, ENABLED, is_asked=True))
    assert outcome.reason == "namespace"
    assert mesh(make_pod(), Place(namespace, ENABLED), Settings(never=frozenset())).verdict is Verdict.INJECTED


@pytest.mark.parametrize(
    "pod",
    [
        "spec: {securityContext: {runAsUser: 2102}, containers: [{name: web, securityContext: {runAsUser: 1}}]}",
        "spec: {containers: [{name: web, ports: [{containerPort: 4143, protocol: UDP}]}]}",
        "spec: {nodeSelector: {kubernetes.io/os: linux}, os: {name: linux}}",
        "spec: {hostNetwork: false}",
        windows("[{key: kubernetes.io/os, operator: In, values: [windows, linux]}]"),
        windows("[{key: kubernetes.io/os, operator: NotIn, values: [windows]}]"),
        windows("[{key: kubernetes.io/os, operator: In, values: [windows]}]", "[{key: zone, operator: Exists}]"),
        windows(),
    ],
)
def test_what_only_looks_like_a_reason(pod: str) -> None:
    assert mesh(make_pod(pod)).verdict is Verdict.INJECTED


def test_another_user_for_the_sidecar_is_a_way_out() -> None:
    pod = make_pod("spec: {securityContext: {runAsUser: 2102}}", proxy_uid="2103")
    assert mesh(pod).verdict is Verdict.INJECTED


def test_without_interception_the_user_and_the_inbound_port_are_free() -> None:
    text = "spec: {securityContext: {runAsUser: 2102}, containers: [{name: web, ports: [{containerPort: 4143}]}]}"
    assert mesh(make_pod(text, interception="none")).verdict is Verdict.INJECTED


@pytest.mark.parametrize(
    ("annotation", "label", "namespace", "is_asked", "is_meshed"),
    [
        ({}, {}, {}, False, False),
        ({}, {}, {}, True, True),
        ({}, {}, ENABLED, False, True),
        ({}, {}, DISABLED, False, False),
        ({}, ENABLED, {}, False, True),
        ({}, DISABLED, ENABLED, True, False),
        (DISABLED, ENABLED, ENABLED, True, False),
        (ENABLED, DISABLED, DISABLED, False, True),
    ],
)
def test_the_nearest_opinion_counts(
    annotation: dict[str, str], label: dict[str, str], namespace: dict[str, str], is_asked: bool, is_meshed: bool
) -> None:
    pod = make_pod()
    pod["metadata"] |= {"annotations": annotation, "labels": label}
    outcome = mesh(pod, Place("shop", namespace, is_asked=is_asked))
    assert (outcome.verdict is Verdict.INJECTED) is is_meshed
    annotated = mesh(pod, Place("shop", annotations=namespace, is_asked=is_asked))
    assert annotated.verdict is outcome.verdict


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        (
            "metadata: {annotations: {gossamer.mesh/inject: 'true'}}",
            "annotation gossamer.mesh/inject: 'true' is not enabled or disabled",
        ),
        (
            "metadata: {labels: {gossamer.mesh/inject: 'yes'}}",
            "label gossamer.mesh/inject: 'yes' is not enabled or disabled",
        ),
        ("metadata: {labels: {a: 1}}", "metadata.labels: 'a' must be text, so put its value in quotes"),
        ("metadata: {annotations: []}", "metadata.annotations must be an object"),
        ("spec: {containers: []}", "spec.containers must have a container"),
        ("spec: {containers: web}", "spec.containers must be a list of objects"),
        ("spec: {initContainers: [web]}", "spec.initContainers must be a list of objects"),
        ("spec: {terminationGracePeriodSeconds: soon}", "spec.terminationGracePeriodSeconds must be a number"),
        (
            "spec: {hostNetwork: true, initContainers: [{name: gossamer-init}]}",
            "hostNetwork together with our containers",
        ),
        ("spec: {hostNetwork: true, containers: [{name: gossamer-proxy}]}", "hostNetwork together with our containers"),
        ("spec: {affinity: {nodeAffinity: []}}", "affinity.nodeAffinity must be an object"),
        ("spec: {containers: [{name: web, readinessProbe: 8080}]}", "container.readinessProbe must be an object"),
    ],
)
def test_what_cannot_be_meant_is_refused(pod: str, sentence: str) -> None:
    outcome = mesh(make_pod(pod))
    assert (outcome.verdict, outcome.reason) == (Verdict.REFUSED, "refused")
    assert outcome.sentence.startswith(sentence)
    assert outcome.patch() == []


def test_a_bad_value_of_who_opted_out_is_nobodys_business() -> None:
    pod = make_pod("metadata: {labels: {gossamer.mesh/inject: disabled}}", proxy_uid="root")
    assert mesh(pod).reason == "opted-out"


@pytest.mark.parametrize(
    ("pod", "options", "place", "part"),
    [
        ("", {"interceptoin": "none"}, ASKED, "interception?"),
        ("", {}, Place(labels={"pod-security.kubernetes.io/enforce": "baseline"}, is_asked=True), "forbids"),
        ("", {"native_sidecar": "false"}, Place(owner="Job", is_asked=True), "never completes"),
        ("spec: {restartPolicy: Never}", {"native_sidecar": "false"}, ASKED, "never completes"),
        ("spec: {dnsPolicy: Default}", {}, ASKED, "gossamer-controlplane.gossamer.svc.cluster.local:4150"),
        (
            "spec: {containers: [{name: web, livenessProbe: {httpGet: {port: metrics}}}]}",
            {},
            ASKED,
            "livenessProbe of container web: its port 'metrics' is none",
        ),
    ],
)
def test_warnings(pod: str, options: dict[str, str], place: Place, part: str) -> None:
    outcome = mesh(make_pod(pod, **options), place)
    assert outcome.verdict is Verdict.INJECTED
    (warning,) = outcome.warnings
    assert part in warning


def test_restricted_namespaces_take_what_does_not_intercept() -> None:
    place = Place(labels={"pod-security.kubernetes.io/enforce": "restricted"}, is_asked=True)
    assert mesh(make_pod(interception="none"), place).warnings == ()
