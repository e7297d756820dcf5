"""Installation against a real API server: valid to the letter, repeatable, and gone without a trace."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster.api_server import ApiServer
from tests.cluster.client import ApiError, Object, wait_until
from tests.e2e.install.tool import User, contents, list_all
from tests.unit.mesh.install.helm import CHART, run_helm

CLUSTER_WIDE = (
    "mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,clusterroles,"
    "clusterrolebindings,crds,namespaces"
)
WEBHOOK = "admissionregistration.k8s.io/MutatingWebhookConfiguration"
BUNDLE = base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()
NUMBERS = itertools.count(1)
REASON = "the injector may write caBundle, and no more"
EVERYTHING = ("--ha", "--set", "proxy.drain-delay=7s")
DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gadgets.test.gossamer.mesh
  labels: {app.kubernetes.io/part-of: gossamer, app.kubernetes.io/instance: PLACE}
spec:
  group: test.gossamer.mesh
  scope: Namespaced
  names: {kind: Gadget, plural: gadgets, singular: gadget}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
"""
GADGET = "{apiVersion: test.gossamer.mesh/v1, kind: Gadget, metadata: {name: one}}"


@pytest.fixture(scope="module")
def api() -> Iterator[ApiServer]:
    """One of its own: what is cluster-wide here must not reach the tests of others."""
    with ApiServer() as running:
        yield running


@pytest.fixture
def admin(api: ApiServer) -> User:
    return User(api)


@pytest.fixture
def place(api: ApiServer, admin: User) -> Iterator[str]:
    """A namespace to install into, with --namespace; whatever comes of it is removed."""
    name = f"mesh-{next(NUMBERS)}"
    yield name
    chosen = ("--selector", f"app.kubernetes.io/instance={name}", "--wait=false")
    admin.kubectl("delete", CLUSTER_WIDE, *chosen)


def write_bundle(admin: User) -> None:
    """As the injector does: whatever is applied later, it must stay."""
    names = ("namespaces.inject.gossamer.mesh", "pods.inject.gossamer.mesh")
    written = {"webhooks": [{"name": name, "clientConfig": {"caBundle": BUNDLE}} for name in names]}
    admin.kubectl("patch", "mutatingwebhookconfiguration/gossamer-injector", "--patch", yaml.safe_dump(written))


def changes(said: str) -> list[str]:
    """What kubectl says it changed. It always says so of a PodDisruptionBudget, whose selector it never merges."""
    return [line for line in said.splitlines() if not line.endswith(" unchanged") and "poddisruptionbudget" not in line]


@pytest.mark.parametrize(
    "options", [(), EVERYTHING, ("--set", "podAnnotations.a=1e3", "--set", "createNamespace=false")]
)
def test_the_api_server_accepts_every_field(api: ApiServer, admin: User, options: tuple[str, ...]) -> None:
    namespace = api.make_namespace("strict")  # a dry run makes no namespace for the others
    manifests = admin.mesh("install", "--namespace", namespace, *options)
    admin.kubectl("apply", "--validate=strict", "--dry-run=server", "--filename=-", text=manifests)
    api.client.delete("Namespace", namespace)


def test_all_of_it_is_removed_and_its_pods_were_admitted_as_restricted(api: ApiServer, admin: User) -> None:
    before = set(list_all(api.client))
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", *EVERYTHING))
    levels = api.client.get("Namespace", "gossamer")["metadata"]["labels"]
    assert levels["pod-security.kubernetes.io/enforce"] == "restricted"
    wait_until(lambda: len(api.client.list("Pod", "gossamer")) == 6, "three pods of each Deployment")
    admin.kubectl("delete", "--wait=false", "--filename=-", text=admin.mesh("uninstall"))
    wait_until(lambda: set(list_all(api.client)) == before, "nothing but what was there before")


def test_installing_again_changes_nothing(api: ApiServer, admin: User, place: str) -> None:
    options = ("--namespace", place, *EVERYTHING)
    manifests = admin.mesh("install", *options)
    assert admin.mesh("install", *options) == manifests
    admin.kubectl("apply", "--filename=-", text=manifests)
    write_bundle(admin)
    before = contents(api.client, place)
    assert not changes(admin.kubectl("apply", "--filename=-", text=manifests))
    assert not changes(admin.kubectl("apply", "--filename=-", text=admin.mesh("upgrade", "--namespace", place)))
    admin.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", text=manifests)
    assert contents(api.client, place) == before
    hooks = before[WEBHOOK, "", "gossamer-injector"]["webhooks"]
    assert [hook["clientConfig"]["caBundle"] for hook in hooks] == [BUNDLE, BUNDLE]


def test_helm_installs_and_upgrades_and_leaves_the_bundle_alone(api: ApiServer, admin: User, place: str) -> None:
    def call_helm(*arguments: str | Path) -> None:
        where = ("--namespace", place, "--kubeconfig", admin.kubeconfig)
        done = run_helm(*arguments, *where)
        assert done.returncode == 0, done.stderr

    call_helm("install", "mesh-1", CHART, "--create-namespace")
    write_bundle(admin)
    before = contents(api.client, place)
    for _ in range(2):
        call_helm("upgrade", "mesh-1", CHART)
    assert contents(api.client, place) == before
    assert "use helm upgrade mesh-1" in admin.refused("install", "--namespace", place)
    assert "Helm installed Gossamer" in admin.refused("uninstall", "--namespace", place)
    call_helm("uninstall", "mesh-1")
    assert contents(api.client, place) == {}
    api.client.delete("Namespace", place)


def test_an_upgrade_keeps_the_values_and_takes_new_ones(api: ApiServer, admin: User, place: str) -> None:
    own, team = ("--namespace", place), ("--set", "podAnnotations.team=a")
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", *own, "--set", "controlPlane.replicas=2"))
    planned = admin.mesh("upgrade", *own, *team, "--dry-run").splitlines()
    assert f"change     Deployment {place}/gossamer-controlplane" in planned
    assert f"unchanged  Service {place}/gossamer-controlplane" in planned
    admin.kubectl("apply", "--filename=-", text=admin.mesh("upgrade", *own, *team))
    found = api.client.get("Deployment", "gossamer-controlplane", place)["spec"]
    assert found["replicas"] == 2
    assert found["template"]["metadata"]["annotations"] == {"team": "a"}
    assert admin.mesh("upgrade", *own, "--dry-run").count("unchanged  ") == len(planned)


def test_what_an_upgrade_no_longer_has_is_said_and_its_command_deletes_it(
    api: ApiServer, admin: User, place: str
) -> None:
    own, off = ("--namespace", place), ("--set", "injector.enabled=false")
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", *own, "--ha"))
    labels = {"app.kubernetes.io/part-of": "gossamer", "app.kubernetes.io/instance": place}
    metadata = {"name": "gossamer-injector", "namespace": place, "labels": labels}
    api.client.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
    assert admin.call("upgrade", *own).stderr == ""
    planned = admin.mesh("upgrade", *own, *off, "--dry-run").splitlines()
    left = [line for line in planned if line.startswith("left over  ")]
    assert left[0] == "left over  MutatingWebhookConfiguration gossamer-injector"
    assert len(left) == 13
    assert all(line.endswith(("gossamer-injector", f"{place}/gossamer-injector")) for line in left)
    done = admin.call("upgrade", *own, *off)
    admin.kubectl("apply", "--filename=-", text=done.stdout)
    command = done.stderr.partition(f"kubectl --namespace {place} ")[2].split()
    assert command[:2] == ["delete", "mutatingwebhookconfigurations/gossamer-injector"]
    admin.kubectl(f"--namespace={place}", *command)
    assert not [found for found in contents(api.client, place) if found[2] == "gossamer-injector"]
    again = admin.call("upgrade", *own)
    assert (again.returncode, again.stderr) == (0, "")


def test_an_image_that_an_upgrade_keeps_is_said(api: ApiServer, admin: User, place: str) -> None:
    own = ("--namespace", place)
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", *own, "--set", "image.tag=7"))
    assert admin.call("upgrade", *own).stderr == ""
    api.client.patch("ConfigMap", "gossamer-config", {"data": {"version": "0.0.1"}}, place)
    assert "image.tag stays 7, as it was set, though Gossamer 0.0.1 becomes" in admin.call("upgrade", *own).stderr
    assert admin.call("upgrade", *own, "--set", "image.tag=").stderr == ""


def test_a_dry_run_says_what_an_upgrade_takes_away(api: ApiServer, admin: User, place: str) -> None:
    own = ("--namespace", place)
    first = ("--set", "podAnnotations={team: a}", "--set", "controlPlane.replicas=2")
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", *own, *first))
    back = ("--set", "podAnnotations={}", "--set", "controlPlane.resources.limits.memory=")
    planned = admin.mesh("upgrade", *own, *back, "--dry-run").splitlines()
    for name in ("controlplane", "injector"):
        assert f"change     Deployment {place}/gossamer-{name}" in planned
    admin.kubectl("apply", "--filename=-", text=admin.mesh("upgrade", *own, *back))
    found = api.client.get("Deployment", "gossamer-controlplane", place)["spec"]["template"]
    assert "annotations" not in found["metadata"]
    assert "memory" not in found["spec"]["containers"][0]["resources"].get("limits", {})
    assert {line.split()[0] for line in admin.mesh("upgrade", *own, "--dry-run").splitlines()} == {"unchanged"}


def test_a_record_that_was_broken_by_hand_is_mended_by_the_value(api: ApiServer, admin: User, place: str) -> None:
    own = ("--namespace", place)
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", *own, "--set", "controlPlane.replicas=2"))
    for broken in ('"x"', "x"):
        api.client.patch("ConfigMap", "gossamer-config", {"data": {"values.controlPlane.replicas": broken}}, place)
        assert "controlPlane.replicas is 'x', and must be a whole number" in admin.call("upgrade", *own).stderr
        assert "replicas: 1" in admin.mesh("upgrade", *own, "--set", "controlPlane.replicas=1")


def test_leftovers_of_an_installation_that_came_to_nothing_are_said(api: ApiServer, admin: User, place: str) -> None:
    """As `helm template | kubectl apply` leaves them where there is no namespace."""
    own = ("--namespace", place)
    objects = yaml.safe_load_all(admin.mesh("install", *own))
    for item in objects:
        if item["kind"] in ("ClusterRole", "ClusterRoleBinding"):
            api.client.create(item)
    said = admin.refused("install", "--namespace", "other")
    assert f"there are leftovers of Gossamer in {place}; first mesh uninstall -n {place}" in said
    admin.kubectl("delete", "--filename=-", text=admin.mesh("uninstall", *own))
    admin.mesh("install", "--namespace", "other")


def test_a_stolen_token_of_the_injector_cannot_redirect_its_webhook(api: ApiServer, admin: User, place: str) -> None:
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", "--namespace", place))
    token = api.open_client(api.write_account_kubeconfig("gossamer-injector", place))
    path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/gossamer-injector"

    def patch(webhooks: list[Object]) -> str:
        """What is said against it; nothing where it is done."""
        try:
            token.request("PATCH", path, {"webhooks": webhooks}, content_type="application/merge-patch+json")
        except ApiError as error:
            return str(error)
        return ""

    present: list[Object] = api.client.get(WEBHOOK, "gossamer-injector")["webhooks"]
    stolen = {
        "name": "steal.gossamer.mesh",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": "https://127.0.0.1:9/steal"},
        "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}],
    }
    # A new name each time: until it is in force it is done, and what is there already changes nothing.
    names = map("steal-{}.gossamer.mesh".format, NUMBERS)
    wait_until(lambda: REASON in patch([{**stolen, "name": next(names)}]), "the policy to be in force")
    api.client.patch(WEBHOOK, "gossamer-injector", {"webhooks": present})
    elsewhere = {"clientConfig": {"url": "https://127.0.0.1:9/steal"}}
    for attack in (
        [],
        [*present, stolen],
        [present[0]],
        [present[0], {**present[1], "rules": stolen["rules"]}],
        [present[0], {**present[1], "objectSelector": {}}],
        [present[0], {**present[1], "namespaceSelector": {}}],
        [present[0], {**present[1], "failurePolicy": "Fail"}],
        [present[0], {**present[1], "timeoutSeconds": 30}],
        [present[0], {**present[1], "matchConditions": [{"name": "never", "expression": "false"}]}],
        [present[0], {**present[1], **elsewhere}],
    ):
        assert REASON in patch(attack), attack
    written = [{**hook, "clientConfig": {**hook["clientConfig"], "caBundle": BUNDLE}} for hook in present]
    assert not patch(written)
    found = api.client.get(WEBHOOK, "gossamer-injector")["webhooks"]
    assert [hook["clientConfig"]["caBundle"] for hook in found] == [BUNDLE, BUNDLE]
    token.close()


def test_a_dry_run_says_what_would_be_created(admin: User, place: str) -> None:
    lines = admin.mesh("install", "--namespace", place, "--dry-run").splitlines()
    assert f"create     Namespace {place}" in lines
    assert {line.split()[0] for line in lines} == {"create"}


def test_what_does_not_fit_the_cluster_is_refused(api: ApiServer, admin: User, place: str) -> None:
    own = ("--namespace", place)
    assert f"Gossamer is not installed in {place}; use mesh install" in admin.refused("upgrade", *own)
    assert f"there is nothing of Gossamer in {place}" in admin.refused("uninstall", *own)
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", *own))
    assert f"is installed in {place} already; use mesh upgrade" in admin.refused("install", *own)
    assert f"is installed in {place} already, for all namespaces" in admin.refused("install", "--namespace", "other")
    alone = ("--set", "singleNamespace=true", "--set", "createNamespace=false")
    assert "singleNamespace cannot be changed" in admin.refused("upgrade", *own, *alone)
    release = {"metadata": {"annotations": {"meta.helm.sh/release-name": "mesh-1"}}}
    api.client.patch("ConfigMap", "gossamer-config", release, place)
    for command, way in (("install", "upgrade"), ("upgrade", "upgrade"), ("uninstall", "uninstall")):
        assert f"use helm {way} mesh-1" in admin.refused(command, *own)
    api.client.patch(
        "ConfigMap", "gossamer-config", {"data": {"version": "99.0"}, "metadata": {"annotations": None}}, place
    )
    assert "Gossamer 99.0 is installed, and this is" in admin.refused("upgrade", *own)


def test_pods_that_keep_their_sidecars_are_counted(api: ApiServer, admin: User, place: str) -> None:
    namespace, own = api.make_namespace("meshed"), ("--namespace", place)
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", *own))
    assert admin.call("uninstall", *own).stderr == ""
    body: Object = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "app", "image": "none"}]}}
    for count, said in enumerate(("mesh: 1 pod keeps its sidecar", "mesh: 2 pods keep their sidecar"), 1):
        annotations = {"gossamer.mesh/injected": "{}"}
        api.client.create({**body, "metadata": {"name": f"pod-{count}", "annotations": annotations}}, namespace)
        assert said in admin.call("uninstall", *own).stderr
    api.client.delete("Namespace", namespace)


def test_definitions_are_kept_while_there_are_objects_of_them(admin: User, place: str) -> None:
    admin.kubectl("apply", "--filename=-", text=admin.mesh("install", "--namespace", place))
    admin.kubectl("apply", "--filename=-", text=DEFINITION.replace("PLACE", place))
    admin.kubectl("wait", "--for=condition=Established", "crd/gadgets.test.gossamer.mesh")
    assert "CustomResourceDefinition" in admin.mesh("uninstall", "--namespace", place)
    admin.kubectl("create", "--namespace=default", "--filename=-", text=GADGET)
    done = admin.call("uninstall", "--namespace", place)
    assert "CustomResourceDefinition" not in done.stdout
    assert "kept, since there are objects of them: gadgets.test.gossamer.mesh; --purge deletes them too" in done.stderr
    assert "CustomResourceDefinition" in admin.mesh("uninstall", "--namespace", place, "--purge")


def test_a_user_of_one_namespace_installs_upgrades_and_removes(api: ApiServer, admin: User) -> None:
    namespace = api.make_namespace("shop")
    rita = User(api, api.write_user_kubeconfig("rita"))
    admin.kubectl("create", "rolebinding", "rita", f"--namespace={namespace}", "--clusterrole=admin", "--user=rita")
    own = ("--namespace", namespace)
    wait_until(lambda: rita.call("install", *own, "--single-namespace").returncode == 0, "her rights to be known")
    before = set(list_all(api.client))
    at_first = {found for found in before if found[1] == namespace}
    manifests = rita.mesh("install", *own, "--single-namespace", "--ha")
    rita.kubectl("apply", "--validate=strict", "--filename=-", text=manifests)
    made = set(list_all(api.client)) - before
    assert {place for _, place, _ in made} == {namespace}
    assert ("policy/PodDisruptionBudget", namespace, "gossamer-controlplane") in made
    assert not changes(rita.kubectl("apply", "--filename=-", text=rita.mesh("upgrade", *own)))
    done = rita.call("uninstall", *own)
    assert (done.returncode, done.stderr) == (0, "")
    rita.kubectl("delete", "--filename=-", text=done.stdout)
    wait_until(lambda: {found for found in list_all(api.client) if found[1] == namespace} == at_first, "all to be gone")
    api.client.delete("Namespace", namespace)


def test_who_may_not_look_is_told_what_to_ask_for(api: ApiServer) -> None:
    nobody = User(api, api.write_user_kubeconfig("nobody"))
    said = nobody.refused("install")
    assert "cannot be seen (403: configmaps" in said
    assert "ask for the right to get ConfigMaps there" in said


def test_a_cluster_that_is_away_is_named() -> None:
    with ApiServer(controllers=False) as away:
        user = User(away)
        away.server.kill()
        said = user.refused("install")
    assert f"the cluster at {away.url} cannot be reached (" in said
    assert "--ignore-cluster" in said
