"""What another webhook does to a pod after ours: the real API server then asks ours again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mesh.contract import DISABLED, INJECT, OUR_ANNOTATIONS
from tests.cluster.api_server import ApiServer
from tests.cluster.client import ApiError, Object
from tests.e2e.inject.other_webhook import LABEL, Change, OtherWebhook
from tests.e2e.injector.stage import Stage
from tests.e2e.injector.stage import make_pod as make_bare

PLAIN = {f"{OUR_ANNOTATIONS}native-sidecar": "false"}
MIRROR = "mirror.local/"


def annotate(name: str, text: str) -> Change:
    return lambda pod: pod["metadata"].setdefault("annotations", {}).update({name: text})


def add(member: str, container: Object) -> Change:
    return lambda pod: pod["spec"].setdefault(member, []).append(container)


def put(**fields: Any) -> Change:
    return lambda pod: pod["spec"].update(fields)


def use_mirror(pod: Object) -> None:
    for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
        container["image"] = MIRROR + container["image"]


CHANGES: dict[str, Change] = {
    "opt-out": annotate(INJECT, DISABLED),
    "skip": annotate(f"{OUR_ANNOTATIONS}skip-inbound-ports", "8080"),
    "wrong": annotate(f"{OUR_ANNOTATIONS}skip-inbound-ports", "http"),
    "user": put(securityContext={"runAsUser": 2102}),
    "network": put(hostNetwork=True),
    "init": add("initContainers", {"name": "vault-agent-init", "image": "none"}),
    "late": add("containers", {"name": "late", "image": "none", "livenessProbe": {"tcpSocket": {"port": 81}}}),
    "mirror": use_mirror,
}


@pytest.fixture(scope="module")
def meshed(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, str]]:
    stage = Stage(api_server)
    try:
        namespace = stage.make_namespace()
        stage.configure(only=namespace)
        injector = stage.start().wait_listening().wait_ready()
        with injector, OtherWebhook(api_server.client, tmp_path_factory.mktemp("other"), CHANGES):
            yield stage, namespace
    finally:
        stage.close()


def create(meshed: tuple[Stage, str], change: str, **annotations: str) -> Object:
    stage, namespace = meshed
    pod = make_bare(f"pod-{change}", labels={LABEL: change}, annotations=annotations)
    return stage.client.create(pod, namespace)["spec"]


def names(spec: Object, member: str) -> list[str]:
    return [item["name"] for item in spec.get(member, ())]


@pytest.mark.parametrize("change", ["opt-out", "user"])
def test_what_speaks_against_the_sidecar_takes_it_out(change: str, meshed: tuple[Stage, str]) -> None:
    spec = create(meshed, change)
    assert (names(spec, "initContainers"), names(spec, "containers"), names(spec, "volumes")) == ([], ["app"], [])


def test_what_is_asked_for_is_done(meshed: tuple[Stage, str]) -> None:
    rules = create(meshed, "skip")["initContainers"][0]
    assert rules["command"] == ["mesh", "proxy", "init", "--skip-inbound-ports", "8080"]


@pytest.mark.parametrize(
    ("change", "sentence"), [("wrong", "'http' is not ports"), ("network", "hostNetwork together")]
)
def test_what_makes_no_sense_is_refused(change: str, sentence: str, meshed: tuple[Stage, str]) -> None:
    with pytest.raises(ApiError, match=sentence):
        create(meshed, change)


def test_the_rules_of_a_plain_sidecar_come_last(meshed: tuple[Stage, str]) -> None:
    assert names(create(meshed, "init", **PLAIN), "initContainers") == ["vault-agent-init", "gossamer-init"]


def test_what_comes_late_is_probed_by_way_of_the_sidecar(meshed: tuple[Stage, str]) -> None:
    spec = create(meshed, "late")
    assert spec["containers"][1]["livenessProbe"]["httpGet"]["path"] == "/app-health/late/liveness"


def test_images_of_a_mirror_stay(meshed: tuple[Stage, str]) -> None:
    spec = create(meshed, "mirror")
    assert all(item["image"].startswith(MIRROR) for item in (*spec["initContainers"], *spec["containers"]))
