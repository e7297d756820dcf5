"""The injector ends, is away, or cannot reach the API: what that means for pods, meshed and others."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mesh.contract import INJECT
from tests.cluster.api_server import ApiServer
from tests.cluster.client import ApiError
from tests.e2e.injector.process import Injector
from tests.e2e.injector.stage import Stage, has_sidecar, make_pod
from tests.e2e.processes import eventually


def check_others(stage: Stage, plain: str) -> None:
    """Whatever happens to the injector, these pods are made."""
    stage.client.create(make_pod(), plain)
    for namespace in ("kube-system", stage.namespace):
        stage.client.create(make_pod("system", labels={INJECT: "enabled"}), namespace)
        stage.client.delete("Pod", "system", namespace, grace_s=0)


def test_while_it_is_away_the_policy_decides_and_nobody_else_is_blocked(api_server: ApiServer) -> None:
    for policy in ("Ignore", "Fail"):
        stage = Stage(api_server, {"injector.failurePolicy": policy})
        try:
            stage.configure()
            meshed, plain = stage.make_namespace(), stage.make_namespace(is_meshed=False)
            with stage.start() as injector:
                injector.wait_ready()
                assert has_sidecar(stage.client.create(make_pod("before"), meshed))
            check_others(stage, plain)
            if policy == "Fail":
                with pytest.raises(ApiError, match="failed calling webhook"):
                    stage.client.create(make_pod(), meshed)
            else:
                assert not has_sidecar(stage.client.create(make_pod(), meshed))
        finally:
            stage.close()


def test_it_ends_without_losing_a_pod_or_an_event(stage: Stage) -> None:
    stage.configure()
    namespace = stage.make_namespace()
    owner = stage.make_owner(namespace)
    with stage.start("--drain-delay", "2s") as injector:
        injector.wait_ready()
        stage.client.create(make_pod("before", ownerReferences=[owner]), namespace)
        eventually(lambda: bool(stage.events(namespace)), "the Event")
        injector.signal(signal.SIGTERM)
        eventually(lambda: injector.ready() == "going down", "its leaving")
        for count in range(20):
            pod = make_pod(f"voter-{count}", ownerReferences=[owner])
            assert has_sidecar(stage.client.create(pod, namespace))
        assert injector.ready() == "going down"
        assert injector.wait() == 0
        assert "stopped" in injector.stderr
    (event,) = stage.events(namespace)
    assert (event["count"], event["involvedObject"]["name"]) == (21, "owner")


def test_without_the_api_server_it_stays_and_goes_on_after(stage: Stage) -> None:
    with ApiServer(controllers=False) as api:
        api.client.create(stage.manifest())
        api.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": stage.namespace}})
        with Injector(api.kubeconfig, stage.namespace, "--certificate-lifetime", "10s", port=stage.port) as injector:
            injector.wait_ready()
            api.server.kill()
            injector.wait_log("cannot ask the API server")
            assert injector.ready() == "ready"
            api.server.start()
            api.wait_ready()
            injector.wait_log("the certificate is kept again")
            injector.wait_log("namespaces are followed again")
            api.client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}})
            eventually(lambda: injector.metric("injector_namespaces") == len(api.client.list("Namespace")), "them all")


def test_the_settings_are_taken_up_from_a_file(stage: Stage, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("defaults: {proxy-image: 'mine:1'}")
    stage.configure()
    namespace = stage.make_namespace()

    def find_image() -> str:
        pod = stage.client.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", make_pod())
        return str(pod["spec"]["initContainers"][1]["image"])

    with stage.start("--config", str(settings), "--image", "flag:1") as injector:
        injector.wait_ready()
        assert find_image() == "mine:1"
        settings.write_text("defaults: {proxy-image: 'mine:2'}")
        eventually(lambda: find_image() == "mine:2", "the new settings")
        settings.write_text("defaults: [")
        injector.wait_log("it is no YAML, line 1; the settings before stay in force")
        assert find_image() == "mine:2"
        settings.write_text("")
        injector.wait_log("the settings are in force again")
        assert find_image() == "flag:1"
