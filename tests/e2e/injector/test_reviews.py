"""Pods as they are created: which get the sidecar, which do not, and what is told of it."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator

import pytest

from mesh.contract import INIT_CONTAINER, INJECT, OUR_ANNOTATIONS, PROXY_CONTAINER
from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import require_programs
from tests.cluster.client import ApiError, wait_until
from tests.e2e.injector.process import Injector
from tests.e2e.injector.stage import Stage, has_sidecar, make_pod
from tests.e2e.processes import HOST

INJECTED, MALFORMED = "injector_injected_total", 'injector_failed_total{reason="malformed"}'
OPTED_OUT, REFUSED = 'injector_skipped_total{reason="opted-out"}', 'injector_failed_total{reason="refused"}'


@pytest.fixture(scope="module")
def stage(api_server: ApiServer) -> Iterator[Stage]:
    require_programs("kubectl")
    made = Stage(api_server)
    try:
        made.configure()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def injector(stage: Stage) -> Iterator[Injector]:
    """Ready, and called by the API server."""
    with stage.start() as running:
        yield running.wait_ready()


def test_a_pod_of_a_meshed_namespace_gets_the_sidecar(stage: Stage, injector: Injector) -> None:
    namespace, before = stage.make_namespace(), injector.metric(INJECTED)
    pod = stage.client.create(make_pod(), namespace)
    assert [container["name"] for container in pod["spec"]["initContainers"]] == [INIT_CONTAINER, PROXY_CONTAINER]
    assert pod["spec"]["initContainers"][1]["restartPolicy"] == "Always"
    assert injector.metric(INJECTED) == before + 1
    wait_until(lambda: stage.events(namespace), "an Event")
    (event,) = stage.events(namespace)
    assert (event["reason"], event["type"], event["involvedObject"]["name"]) == ("Injected", "Normal", "voter")


def test_a_dry_run_is_answered_and_leaves_no_trace(stage: Stage, injector: Injector) -> None:
    namespace, before = stage.make_namespace(), injector.metric(INJECTED)
    path = f"/api/v1/namespaces/{namespace}/pods"
    assert has_sidecar(stage.client.request("POST", f"{path}?dryRun=All", make_pod()))
    assert has_sidecar(stage.client.create(make_pod("real"), namespace))
    wait_until(lambda: stage.events(namespace), "the Event of the real one")
    assert {event["involvedObject"]["name"] for event in stage.events(namespace)} == {"real"}
    assert injector.metric(INJECTED) == before + 1


def test_the_selectors(stage: Stage, injector: Injector) -> None:
    meshed, plain = stage.make_namespace(), stage.make_namespace(is_meshed=False)
    before, before_out = injector.metric(INJECTED), injector.metric(OPTED_OUT)
    asks, declines = {INJECT: "enabled"}, {INJECT: "disabled"}
    assert has_sidecar(stage.client.create(make_pod("asks", labels=asks), plain))
    assert not has_sidecar(stage.client.create(make_pod("plain"), plain))
    assert not has_sidecar(stage.client.create(make_pod("declines", labels=declines), meshed))
    assert not has_sidecar(stage.client.create(make_pod("annotated", annotations=declines), meshed))
    for namespace in ("kube-system", stage.namespace):
        stage.label(namespace, "enabled")
        pod = stage.client.create(make_pod("system", labels=asks), namespace)
        assert not has_sidecar(pod)
        stage.client.delete("Pod", "system", namespace, grace_s=0)
        stage.label(namespace, None)
    assert injector.metric(OPTED_OUT) == before_out + 1  # the others never came
    assert injector.metric(INJECTED) == before + 1


def test_a_namespace_that_has_just_been_labelled(stage: Stage, injector: Injector) -> None:
    """However late the watch is, what the selector knows counts."""
    for _ in range(10):
        namespace = stage.make_namespace(is_meshed=False)
        stage.label(namespace, "enabled")
        assert has_sidecar(stage.client.create(make_pod(), namespace))


def test_annotations_of_the_namespace_count(stage: Stage, injector: Injector) -> None:
    namespace = stage.make_namespace()
    change = {"metadata": {"annotations": {f"{OUR_ANNOTATIONS}proxy-image": "mine:7"}}}
    stage.client.patch("Namespace", namespace, change)

    def has_image() -> bool:
        pod = stage.client.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", make_pod())
        return bool(pod["spec"]["initContainers"][1]["image"] == "mine:7")

    wait_until(has_image, "the namespace's annotation")


def test_what_makes_no_sense_is_refused_with_a_sentence(stage: Stage, injector: Injector) -> None:
    namespace, before = stage.make_namespace(), injector.metric(REFUSED)
    pod = make_pod(annotations={f"{OUR_ANNOTATIONS}native-sidecar": "perhaps"})
    with pytest.raises(ApiError, match="native-sidecar: 'perhaps' is not true or false") as caught:
        stage.client.create(pod, namespace)
    assert caught.value.status == 422
    assert injector.metric(REFUSED) == before + 1
    wait_until(lambda: stage.events(namespace), "an Event")
    (event,) = stage.events(namespace)
    assert (event["reason"], event["type"]) == ("InjectionFailed", "Warning")


def test_pods_of_a_deployment_are_one_event_about_it(stage: Stage, injector: Injector) -> None:
    namespace = stage.make_namespace()
    template = make_pod(labels={"app": "voting"})
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "voting"},
        "spec": {
            "replicas": 20,
            "selector": {"matchLabels": {"app": "voting"}},
            "template": {"metadata": {"labels": {"app": "voting"}}, "spec": template["spec"]},
        },
    }
    uid = stage.client.create(deployment, namespace)["metadata"]["uid"]
    wait_until(lambda: len(stage.client.list("Pod", namespace)) == 20, "the pods")
    assert all(map(has_sidecar, stage.client.list("Pod", namespace)))
    wait_until(lambda: stage.events(namespace), "an Event")
    (event,) = stage.events(namespace)
    about = event["involvedObject"]
    assert (about["kind"], about["name"], about["uid"]) == ("Deployment", "voting", uid)
    assert "Injected" in stage.kubectl("describe", "deployment", "voting", "--namespace", namespace)


def test_warnings_reach_whoever_creates_the_pod(stage: Stage, injector: Injector) -> None:
    namespace = stage.make_namespace()
    pod = make_pod(annotations={f"{OUR_ANNOTATIONS}skip-inbound-port": "25"})
    command = ["create", "--namespace", namespace, "--warnings-as-errors", "--dry-run=server", "-f", "-"]
    assert "did you mean config.gossamer.mesh/skip-inbound-ports" in stage.kubectl(*command, text=json.dumps(pod))


def test_a_large_pod_whose_review_is_larger_than_itself(stage: Stage, injector: Injector) -> None:
    """The API server writes < as six bytes."""
    pod = make_pod()
    pod["spec"]["containers"][0]["env"] = [{"name": "A", "value": "<" * 620_000}]
    assert has_sidecar(stage.client.create(pod, stage.make_namespace()))


GARBAGE = (
    (b"", 400, "no JSON"),
    (b"[" * 100_000, 400, "no JSON"),
    (b"{}", 400, "no AdmissionReview"),
    (b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1"}', 400, "admission.k8s.io/v1,"),
    (b" " * (9 << 20), 413, "8 MiB"),
)


def test_garbage_gets_a_sentence(stage: Stage, injector: Injector) -> None:
    before = injector.metric(MALFORMED)
    for body, status, words in GARBAGE:
        found, text = post(injector, stage.bundles()[0], body)
        assert found == status
        assert words in text
    assert injector.metric(MALFORMED) - before == len(GARBAGE)


def post(injector: Injector, authorities: str, body: bytes) -> tuple[int, str]:
    context = ssl.create_default_context(cadata=authorities)
    connection = http.client.HTTPSConnection(HOST, injector.port, context=context, timeout=10)
    try:
        connection.request("POST", "/mutate", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()
