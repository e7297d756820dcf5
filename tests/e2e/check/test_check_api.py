"""For each line of `mesh check`, one thing is broken on a real API server.

That line says so, with its cause, its cure and its link, and of the others only those that depend on it. What needs
real pods is in test_check_node.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.check.catalogue import ALL, PRE
from mesh.contract import INJECT
from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import require_programs
from tests.cluster.client import wait_until
from tests.e2e.check.shim import Shim
from tests.e2e.check.stage import (
    DAY_S,
    NAME,
    PARTS,
    WEBHOOK,
    Stage,
    find_wrong,
    make_pod,
    make_service,
    make_workload,
    passing,
    removed,
)
from tests.e2e.install.tool import User

NAMES = [check.name for checks in ALL.values() for check in checks]
OF_WEBHOOK = [check.name for check in ALL["webhook"][1:]]
NODES = {"connected", "refused"}  # what only real pods can tell


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """On an API server of its own: what is cluster-wide here must not reach the tests of others."""
    require_programs("kubectl")
    with ApiServer() as api:
        yield Stage(api)


def expect(stage: Stage, broken: dict[str, str], cause: str, *options: str, user: User | None = None) -> None:
    """These lines and no others are wrong; of the first, this is the cause."""
    lines = stage.check(*options, user=user)
    assert find_wrong(lines) == broken, {name: lines[name]["cause"] for name in find_wrong(lines)}
    line = lines[next(iter(broken))]
    assert cause in line["cause"]
    assert line["cure"]
    assert line["link"] == f"docs/checks.md#{line['name']}"


def not_run(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "not run")


def test_all_is_well(stage: Stage) -> None:
    lines = stage.check()
    assert list(lines) == NAMES
    assert find_wrong(lines) == {}
    skipped = {name for name, line in lines.items() if line["verdict"] == "skipped"}
    assert skipped == {"availability", *NODES}
    done = stage.admin.call("check", "--namespace", stage.name, "-o", "short")
    assert (done.returncode, done.stdout) == (0, f"{len(NAMES) - 3} ok, 3 skipped\n")


def test_the_control_planes_page_is_asked_for_through_the_api(stage: Stage) -> None:
    """The API server refuses to call a pod at a loopback address: there is a reason, and no verdict."""
    lines = stage.check("--proxy")
    for name in NODES:
        assert "the control plane's admin port cannot be asked (" in lines[name]["cause"]


def test_api(stage: Stage, tmp_path: Path) -> None:
    with Shim(stage.client) as shim:
        away = User(stage.api, shim.write_kubeconfig(tmp_path / "away"))
    expect(stage, {"api": "failed", **not_run(*NAMES[1:])}, "cannot be reached", user=away)


@pytest.mark.parametrize(
    ("version", "verdict", "cause"),
    [
        ("24", "failed", "it is Kubernetes 1.24, and Gossamer needs 1.25 or newer"),
        ("28+", "warning", "Kubernetes 1.28 has no native sidecars"),
    ],
)
def test_kubernetes_version(stage: Stage, tmp_path: Path, version: str, verdict: str, cause: str) -> None:
    with Shim(stage.client) as shim:
        shim.version = {"major": "1", "minor": version}
        expect(
            stage,
            {"kubernetes-version": verdict},
            cause,
            user=User(stage.api, shim.write_kubeconfig(tmp_path / "old")),
        )


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "cause"),
    [(20.0, "warning", " s ahead of this machine's"), (-90.0, "failed", " s behind this machine's")],
)
def test_clock(stage: Stage, tmp_path: Path, ahead_s: float, verdict: str, cause: str) -> None:
    with Shim(stage.client) as shim:
        shim.ahead_s = ahead_s
        expect(stage, {"clock": verdict}, cause, user=User(stage.api, shim.write_kubeconfig(tmp_path / "late")))


def test_rights(stage: Stage) -> None:
    nobody = User(stage.api, stage.api.write_user_kubeconfig("nobody"))
    expect(stage, {"rights": "failed"}, "you may not: get namespaces; create namespaces;", "--pre", user=nobody)


def test_free(stage: Stage) -> None:
    expect(stage, {"free": "failed"}, "is installed in gossamer already", "--pre")
    elsewhere = ("--pre", "--namespace", "other")
    expect(stage, {"free": "failed"}, "is installed in gossamer already, for all namespaces", *elsewhere)
    lines = stage.check("--pre", "--namespace", "other", "--single-namespace")
    assert list(lines) == [check.name for checks in PRE.values() for check in checks]
    assert find_wrong(lines) == {}


def test_namespace(stage: Stage) -> None:
    after = NAMES[NAMES.index("namespace") + 1 :]
    broken = {"namespace": "failed", **not_run(*after)}
    expect(stage, broken, "there is no namespace nowhere", "--namespace", "nowhere")


def test_installed(stage: Stage) -> None:
    after = NAMES[NAMES.index("installed") + 1 :]
    with removed(stage, "ConfigMap", "gossamer-config", stage.name):
        expect(stage, {"installed": "failed", **not_run(*after)}, "Gossamer is not installed in gossamer")


def test_a_record_that_somebody_has_edited(stage: Stage) -> None:
    after = NAMES[NAMES.index("installed") + 1 :]
    stage.change_record(**{"values.controlPlane.replicas": '"x"'})
    expect(
        stage, {"installed": "failed", **not_run(*after)}, "controlPlane.replicas is 'x', and must be a whole number"
    )
    stage.change_record(**{"values.controlPlane.replicas": None})


def test_an_installation_elsewhere(stage: Stage) -> None:
    """As users of another mesh ask, who name the namespace of their workloads."""
    after = NAMES[NAMES.index("installed") + 1 :]
    lines = stage.check("--namespace", stage.shop)
    assert find_wrong(lines) == {"installed": "failed", **not_run(*after)}
    assert lines["installed"]["cure"].startswith(f"--namespace {stage.name}: there it is installed")


def test_version(stage: Stage) -> None:
    """Pods and sidecars are then not of the version that the record says, either."""
    before = stage.client.get("ConfigMap", "gossamer-config", stage.name)["data"]["version"]
    stage.change_record(version="99.0")
    others = {"rollout": "warning", "sidecar-version": "warning"}
    expect(stage, {"version": "warning", **others}, "Gossamer 99.0 is installed, and this command is")
    stage.change_record(version=before)


@pytest.mark.parametrize("part", PARTS)
def test_control_plane_and_injector(stage: Stage, part: str) -> None:
    name = stage.pods(part)[0]["metadata"]["name"]
    waiting = {"reason": "ImagePullBackOff", "message": "not found"}
    stage.report(name, stage.name, {"waiting": waiting})
    wait_until(lambda: not stage.is_available(), "the Deployment to know")
    line = "control-plane" if part == PARTS[0] else "injector"
    cause = f"0 of 1 replicas of {part} are available: {stage.name}/{name}: ImagePullBackOff: not found"
    expect(stage, {line: "failed", **(not_run(*NODES) if part == PARTS[0] else {})}, cause)
    stage.report(name, stage.name)
    wait_until(stage.is_available, "the Deployment to be mended")


def test_a_deployment_that_is_gone(stage: Stage) -> None:
    with removed(stage, "Deployment", PARTS[1], stage.name):
        expect(stage, {"injector": "failed"}, "there is no Deployment gossamer-injector in gossamer")
    wait_until(lambda: stage.pods(PARTS[1]), "its pods")
    for pod in stage.pods(PARTS[1]):
        stage.report(pod["metadata"]["name"], stage.name)
    wait_until(stage.is_available, "the Deployment to be mended")


def test_an_injector_that_was_turned_off_and_is_still_there(stage: Stage) -> None:
    stage.change_record(**{"values.injector.enabled": "false"})
    expect(stage, {"injector": "failed"}, "goes on injecting: the webhook gossamer-injector, the Deployment gossamer-")
    words = stage.check()["injector"]["cure"].split()
    assert words[0] == "kubectl"
    deleted = stage.admin.kubectl(*words[1:], "--dry-run=server")
    assert all("deleted" in line for line in deleted.splitlines())
    assert len(deleted.splitlines()) == len(words) - words.index("--ignore-not-found") - 1
    stage.change_record(**{"values.injector.enabled": None})


@pytest.mark.parametrize("part", PARTS)
def test_services(stage: Stage, part: str) -> None:
    with removed(stage, "Service", part, stage.name):
        expect(stage, {"services": "failed"}, f"there is no Service {part} in {stage.name}")


def test_wait_ends_when_it_is_mended(stage: Stage) -> None:
    """And with the time that it was given."""
    stage.write_bundle("")
    done = stage.admin.call("check", "--wait", "1s", "-o", "short")
    assert done.returncode == 1
    assert "waiting for webhook-authority (up to " in done.stderr
    stage.certify(stage.make_pair())
    assert stage.admin.call("check", "--wait", "1m", "-o", "short").returncode == 0


def test_rollout(stage: Stage) -> None:
    pod = stage.pods(PARTS[0])[0]["metadata"]
    label = "app.kubernetes.io/version"
    stage.client.patch("Pod", pod["name"], {"metadata": {"labels": {label: "0.0.1"}}}, stage.name)
    expect(stage, {"rollout": "warning"}, f"but {stage.name}/{pod['name']} runs 0.0.1")
    stage.client.patch("Pod", pod["name"], {"metadata": {"labels": {label: pod["labels"][label]}}}, stage.name)


def test_availability(stage: Stage) -> None:
    stage.change_record(**{"values.controlPlane.replicas": "2"})
    expect(stage, {"availability": "warning"}, "gossamer-controlplane has no PodDisruptionBudget")
    stage.change_record(**{"values.controlPlane.replicas": None})


def test_webhook(stage: Stage) -> None:
    with removed(stage, WEBHOOK, NAME):
        expect(stage, {"webhook": "failed", **not_run(*OF_WEBHOOK)}, "so no pod gets a sidecar")


def test_webhook_selection(stage: Stage) -> None:
    stage.change_webhooks(timeoutSeconds=29)
    expect(stage, {"webhook-selection": "warning"}, "timeoutSeconds of namespaces.inject.gossamer.mesh")
    stage.change_webhooks(timeoutSeconds=5)


def test_webhook_authority(stage: Stage) -> None:
    stage.write_bundle("")
    broken = {"webhook-authority": "failed", **not_run("webhook-certificate")}
    expect(stage, broken, "the caBundle of namespaces.inject.gossamer.mesh is empty")
    stage.certify(stage.make_pair())


def test_webhook_certificate(stage: Stage) -> None:
    pair, broken = stage.make_pair(), {"webhook-certificate": "failed"}
    stage.certify(stage.make_pair(age_s=80 * DAY_S))
    expect(stage, broken, "it was not renewed in time, and expires at ")
    stage.certify(pair)
    stage.write_bundle(stage.make_pair().authority)
    expect(stage, broken, "the API server does not trust it")
    stage.certify(pair)
    assert find_wrong(stage.check()) == {}


def test_webhook_guard(stage: Stage) -> None:
    """Without its binding a policy forbids nothing."""
    with removed(stage, "ValidatingAdmissionPolicyBinding", NAME):
        expect(stage, {"webhook-guard": "warning"}, f"the ValidatingAdmissionPolicyBinding {NAME} is gone")


def test_failure_policy(stage: Stage) -> None:
    stage.change_webhooks(failurePolicy="Fail")
    stage.change_record(**{"values.injector.failurePolicy": '"Fail"'})
    expect(stage, {"failure-policy": "warning"}, "failurePolicy is Fail, and there is one injector")
    stage.change_webhooks(failurePolicy="Ignore")
    stage.change_record(**{"values.injector.failurePolicy": None})


def test_pod_security(stage: Stage) -> None:
    level = "pod-security.kubernetes.io/enforce"
    stage.label(stage.shop, **{level: "baseline"})
    expect(stage, {"pod-security": "failed"}, f"{stage.shop} enforces baseline")
    stage.label(stage.shop, **{level: None})


def test_admitted(stage: Stage) -> None:
    """Their namespace does not ask; each template does."""
    with passing(stage, "quota") as namespace:
        hard = {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "hard"},
            "spec": {"hard": {"limits.cpu": "1"}},
        }
        stage.client.create(hard, namespace)
        stage.client.create(make_workload("StatefulSet", "quiet"), namespace)
        stage.client.create(make_workload("Deployment", "front", **{INJECT: "enabled"}), namespace)
        stage.client.create(make_workload("StatefulSet", "store", **{INJECT: "enabled"}), namespace)

        def find_cause() -> str:
            return str(stage.check()["admitted"]["cause"])

        wait_until(lambda: "store" in find_cause() and "front" in find_cause(), "the controllers to try")
        expect(
            stage,
            {"admitted": "failed"},
            f"StatefulSet {namespace}/store: Create Pod store-0 in StatefulSet store failed",
        )
        assert f"ReplicaSet {namespace}/front" not in find_cause()
        assert "must specify limits.cpu" in find_cause().partition(f"Deployment {namespace}/front: ")[2]


def test_pod_security_of_a_workload_that_asks_alone(stage: Stage) -> None:
    level = "pod-security.kubernetes.io/enforce"
    with passing(stage, "alone") as namespace:
        stage.label(namespace, **{level: "baseline"})
        stage.client.create(make_workload("DaemonSet", "quiet"), namespace)
        assert find_wrong(stage.check()) == {}
        stage.client.create(make_workload("Deployment", "asks", **{INJECT: "enabled"}), namespace)
        wait_until(lambda: stage.check()["pod-security"]["verdict"] != "ok", "its ReplicaSet")
        assert f"{namespace} enforces baseline" in stage.check()["pod-security"]["cause"]


def test_pods_that_ask_in_a_namespace_that_does_not(stage: Stage) -> None:
    """One with the sidecar is judged as any other; one that came while no injector answered is missed."""
    with passing(stage, "mixed") as namespace:
        for name, image in (("bare", None), ("old", "gossamer/mesh:0.0.1")):
            pod = make_pod(name, image)
            stage.client.create(pod, namespace)
            stage.report(name, namespace)
            stage.client.patch("Pod", name, {"metadata": {"labels": {INJECT: "enabled"}}}, namespace)
        stage.client.create(make_pod("quiet", image=None), namespace)
        stage.client.create(make_service("nobody", app="votign"), namespace)
        broken = {"injected": "failed", "sidecar-version": "warning"}
        expect(stage, broken, f"without a sidecar: {namespace}/bare")
        assert "quiet" not in stage.check()["injected"]["cause"]


def test_namespaces_that_ask_in_vain(stage: Stage) -> None:
    with passing(stage, "wrong") as namespace:
        stage.label(namespace, **{INJECT: "true"})
        expect(
            stage, {"injected": "failed"}, f"the namespace {namespace} has the label {INJECT}: true, which is neither"
        )
        stage.label(namespace, **{INJECT: None})
        stage.admin.kubectl("annotate", "namespace", namespace, f"{INJECT}=enabled")
        expect(stage, {"injected": "failed"}, f"the namespace {namespace} has {INJECT} as an annotation")
        stage.label(namespace, **{INJECT: "enabled"})
        assert find_wrong(stage.check()) == {}
        stage.admin.kubectl("annotate", "namespace", namespace, "config.gossamer.mesh/opaque-ports=abc")
        expect(
            stage, {"injected": "failed"}, f"the namespace {namespace} gets no pods: annotation config.gossamer.mesh/"
        )


def test_injected(stage: Stage) -> None:
    """Not those that opted out."""
    opted_out = make_pod("other", image=None)
    opted_out["metadata"]["annotations"] = {INJECT: "disabled"}
    namespace = stage.mesh_namespace(make_pod("bare", image=None), opted_out)
    expect(stage, {"injected": "failed"}, f"without a sidecar: {namespace}/bare")
    assert "other" not in stage.check()["injected"]["cause"]
    stage.label(namespace, **{INJECT: None})


def test_sidecar_version(stage: Stage) -> None:
    namespace = stage.mesh_namespace(make_pod("old", "gossamer/mesh:0.0.1"))
    expect(stage, {"sidecar-version": "warning"}, f"{namespace}/old has gossamer/mesh:0.0.1")
    stage.label(namespace, **{INJECT: None})


def test_sidecar_ready(stage: Stage) -> None:
    crashing = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    stage.report("voting", stage.shop, crashing)
    expect(stage, {"sidecar-ready": "failed"}, f"{stage.shop}/voting: CrashLoopBackOff: back-off")
    stage.report("voting", stage.shop)


def test_opaque_ports(stage: Stage) -> None:
    mistaken = {"annotations": {"config.gossamer.mesh/opaque-ports": "8080"}}
    stage.client.create(make_service("mistaken", **mistaken), stage.shop)
    expect(stage, {"opaque-ports": "warning"}, f"{stage.shop}/mistaken: port 8080 is grpc, and listed as opaque")
    stage.client.delete("Service", "mistaken", stage.shop)


def test_endpoints(stage: Stage) -> None:
    stage.client.create(make_service("nobody", app="votign"), stage.shop)
    expect(stage, {"endpoints": "warning"}, f"{stage.shop}/nobody (app=votign)")
    stage.client.delete("Service", "nobody", stage.shop)


def test_a_user_of_one_namespace(stage: Stage) -> None:
    """Green with what she may see; before and after."""
    namespace = stage.api.make_namespace("alone")
    rita = User(stage.api, stage.api.write_user_kubeconfig("rita"))
    stage.admin.kubectl(
        "create", "rolebinding", "rita", f"--namespace={namespace}", "--clusterrole=admin", "--user=rita"
    )
    own = ("--namespace", namespace)

    def may_install() -> bool:
        return find_wrong(stage.check(*own, "--pre", "--single-namespace", user=rita)) == {}

    wait_until(may_install, "her rights to be known")
    rita.kubectl("apply", "--filename=-", text=rita.mesh("install", *own, "--single-namespace"))
    stage.client.create(make_pod("voting"), namespace)
    stage.report("voting", namespace)
    wait_until(lambda: stage.pods(PARTS[0], namespace), "her control plane's pod")
    name = stage.pods(PARTS[0], namespace)[0]["metadata"]["name"]
    cause = f"{namespace}/{name}: not scheduled yet"
    expect(stage, {"control-plane": "failed", **not_run(*NODES)}, cause, *own, user=rita)
    stage.report(name, namespace)
    wait_until(lambda: find_wrong(stage.check(*own, user=rita)) == {}, "her control plane to be available")
    lines = stage.check(*own, user=rita)
    skipped = {name for name, line in lines.items() if line["verdict"] == "skipped"}
    assert skipped == {"injector", "availability", "webhook", *OF_WEBHOOK, "injected", *NODES}


def test_a_user_of_one_namespace_of_a_mesh_for_all(stage: Stage) -> None:
    """She sees no installation, and is not told that all is well; but what is hers she can check."""
    namespace = stage.mesh_namespace(make_pod("voting"), make_pod("bare", image=None))
    mona = User(stage.api, stage.api.write_user_kubeconfig("mona"))
    stage.admin.kubectl(
        "create", "rolebinding", "mona", f"--namespace={namespace}", "--clusterrole=admin", "--user=mona"
    )
    after = NAMES[NAMES.index("installed") + 1 :]
    expect(stage, {"installed": "failed", **not_run(*after)}, "may not be seen: 403", user=mona)
    only = ("--workloads", namespace)
    wait_until(lambda: stage.check(*only, user=mona)["injected"]["verdict"] != "skipped", "her rights to be known")
    expect(stage, {"injected": "failed"}, f"without a sidecar: {namespace}/bare", *only, user=mona)
    stage.client.delete("Pod", "bare", namespace)
    wait_until(lambda: stage.client.find("Pod", "bare", namespace) is None, "its end")
    lines = stage.check(*only, user=mona)
    assert find_wrong(lines) == {}
    skipped = {name for name, line in lines.items() if line["verdict"] == "skipped"}
    known = {"pod-security", "admitted", "injected", "sidecar-ready", "opaque-ports", "endpoints"}
    assert known & skipped == set()
    assert "installed" in skipped
    assert "there is no namespace nowhere" in stage.admin.refused("check", "--workloads", "nowhere")
    stage.label(namespace, **{INJECT: None})
