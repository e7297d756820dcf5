"""The tests' own Kubernetes API: what other tests take for granted when they use it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import find_program, search_path
from tests.cluster.client import ApiError, Client, Object, wait_until
from tests.cluster.workspace import find_marked, remove_abandoned

ROOT = Path(__file__).resolve().parents[2]
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: voting}
spec: {selector: {app: voting}, ports: [{name: grpc, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: voting-0, labels: {app: voting}}
spec: {nodeName: node-1, containers: [{name: server, image: none, ports: [{name: grpc, containerPort: 8080}]}]}
"""


@pytest.fixture(scope="module")
def mortal() -> Iterator[ApiServer]:
    """An API server whose parts the tests of this file may end."""
    with ApiServer(controllers=False) as running:
        yield running


def settings(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_kubebuilder_assets_go_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "etcd").touch(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
        search_path.cache_clear()
        assert find_program("etcd") == str(tmp_path / "etcd")
    search_path.cache_clear()


def test_controllers_publish_endpoints_of_ready_pods(api_server: ApiServer, namespace: str) -> None:
    client = api_server.client
    api_server.add_node("node-1", zone="here")
    client.apply(SERVICE, namespace)
    api_server.set_pod_status("voting-0", namespace, "10.1.2.3")

    def find_endpoints() -> list[tuple[str, str, bool]]:
        slices = client.list("EndpointSlice", namespace, labelSelector="kubernetes.io/service-name=voting")
        endpoints = [endpoint for found in slices for endpoint in found["endpoints"] or []]
        return [(found["addresses"][0], found["zone"], found["conditions"]["ready"]) for found in endpoints]

    wait_until(lambda: find_endpoints() == [("10.1.2.3", "here", True)], "the endpoint of the pod")
    api_server.set_pod_status("voting-0", namespace, "10.1.2.3", is_ready=False)
    wait_until(lambda: find_endpoints() == [("10.1.2.3", "here", False)], "the endpoint that is not ready")
    client.delete("Pod", "voting-0", namespace, grace_s=0)
    wait_until(lambda: find_endpoints() == [], "the endpoint to go with its pod")


def test_objects_are_created_changed_and_deleted(api_server: ApiServer, namespace: str) -> None:
    client = api_server.client
    made = client.create(settings("one", colour="red"), namespace)
    assert client.get("ConfigMap", "one", namespace)["data"] == {"colour": "red"}
    client.update(made | {"data": {"colour": "green"}})
    with pytest.raises(ApiError, match="modified") as conflict:
        client.update(made | {"data": {"colour": "blue"}})
    assert conflict.value.status == 409
    client.patch("ConfigMap", "one", {"data": {"size": "small"}}, namespace)
    assert client.get("ConfigMap", "one", namespace)["data"] == {"colour": "green", "size": "small"}
    client.delete("ConfigMap", "one", namespace)
    assert client.find("ConfigMap", "one", namespace) is None


def test_rbac_holds_for_users_and_accounts(api_server: ApiServer, namespace: str) -> None:
    client = api_server.client
    client.apply(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "reader"}},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "reader"},
                "rules": [{"apiGroups": [""], "resources": ["services"], "verbs": ["list"]}],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "reader"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
                "subjects": [
                    {"kind": "ServiceAccount", "name": "reader", "namespace": namespace},
                    {"kind": "User", "name": "rita", "apiGroup": "rbac.authorization.k8s.io"},
                ],
            },
        ],
        namespace,
    )
    account = api_server.write_account_kubeconfig("reader", namespace)
    for kubeconfig in (account, api_server.write_user_kubeconfig("rita")):
        reader = api_server.open_client(kubeconfig)
        wait_until(partial(may_list_services, reader, namespace), "the role binding to hold")
        with pytest.raises(ApiError) as refused:
            reader.list("Pod", namespace)
        assert refused.value.status == 403
        reader.close()


def may_list_services(reader: Client, namespace: str) -> bool:
    """False for now when refused: the authorizer learns of a new binding a moment later."""
    try:
        return reader.list("Service", namespace) == []
    except ApiError:
        return False


def test_parts_are_killed_and_started_on_the_same_port_and_data(mortal: ApiServer) -> None:
    mortal.client.create(settings("kept"))
    mortal.server.kill()
    mortal.etcd.kill()
    with pytest.raises(OSError, match="refused"):
        mortal.client.get("ConfigMap", "kept", "default")
    mortal.etcd.start()
    mortal.server.start()
    mortal.wait_ready()
    assert mortal.client.get("ConfigMap", "kept", "default")["metadata"]["name"] == "kept"


def test_compaction_expires_old_resource_versions(mortal: ApiServer) -> None:
    old = mortal.client.create(settings("old"))["metadata"]["resourceVersion"]
    for number in range(3):
        mortal.client.patch("ConfigMap", "old", {"data": {"number": str(number)}}, "default")
    mortal.compact()
    mortal.server.kill()
    mortal.server.start()
    mortal.wait_ready()
    watch = f"/api/v1/configmaps?watch=true&resourceVersion={old}&timeoutSeconds=5"
    event = mortal.client.request("GET", watch)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


RUN = """
from tests.cluster.api_server import ApiServer
with ApiServer(controllers=False) as api:
    print(api.place.folder, flush=True)
    input()
"""


def test_nothing_outlives_a_run_that_was_killed() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdin is not None
    assert run.stdout is not None
    folder = Path(run.stdout.readline().strip())
    assert len(find_marked(folder)) == 2
    run.kill()
    run.wait()
    run.stdin.close()
    run.stdout.close()
    wait_until(lambda: not find_marked(folder), "the parts to end with their run")
    remove_abandoned()
    assert not folder.exists()
