"""Each judgement, on facts as a cluster would have them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from injector.certificate.pair import make_pair
from mesh.check.facts import Asked, Malformed, Unseen
from mesh.check.line import Finding, Verdict
from mesh.contract import ANONYMOUS, INJECT
from tests.unit.mesh.check.samples import (
    DAY_S,
    HOME,
    NOW,
    PAIR,
    READY,
    judge,
    make_event,
    make_guard,
    make_maker,
    make_namespace,
    make_own_pod,
    make_own_service,
    make_part,
    make_pod,
    make_secret,
    make_service,
    make_webhook,
    record,
    scope,
)

OK, WARNING, FAILED, SKIPPED, NOT_RUN = Verdict
INTERCEPTION = "config.gossamer.mesh/interception"
OPAQUE = "config.gossamer.mesh/opaque-ports"
OTHER = make_pair(["x"], NOW, DAY_S)
EXPIRED = make_pair(["x"], NOW.replace(year=2025), DAY_S)
NO_STREAMS: dict[str, Any] = {"pages": {"a": {"streams": []}}}
OFF: dict[str, Any] = {"record": record(injector_enabled=False)}
TWO = {"deployments": (make_part("controlplane", 2, 2), make_part("injector"))}


def waiting(why: str, text: str = "", **last: Any) -> dict[str, Any]:
    """As the kubelet says it, with how the container ended the last time."""
    ended = {"lastState": {"terminated": last}} if last else {}
    status = {"name": "controlplane", "state": {"waiting": {"reason": why, "message": text}}, **ended}
    return {"conditions": [], "containerStatuses": [status]}


def down(**status: Any) -> dict[str, Any]:
    """The control plane's one pod in this state."""
    deployments = (make_part("controlplane", 0), make_part("injector"))
    return {"deployments": deployments, "own_pods": (make_own_pod("controlplane", **status),)}


def running(age_s: float) -> dict[str, Any]:
    return {"running": {"startedAt": (NOW - timedelta(seconds=age_s)).strftime("%Y-%m-%dT%H:%M:%SZ")}}


def started(age_s: float) -> dict[str, Any]:
    """The sidecar began so long ago."""
    return failing({"state": running(age_s), "ready": True})


def ask_not(namespace: Any) -> Any:
    del namespace["metadata"]["labels"][INJECT]
    return namespace


def ask(pod: Any) -> Any:
    pod["metadata"]["labels"] = {**pod["metadata"].get("labels", {}), INJECT: "enabled"}
    return pod


def asking() -> Any:
    maker = make_maker()
    ask(maker["spec"]["template"])
    return maker


def refused(message: str, spec: dict[str, Any] | None = None) -> Any:
    condition = {"type": "ReplicaFailure", "status": "True", "message": message}
    return make_maker(spec=spec, replicas=0, conditions=[condition])


def make_stray(label: str | None, annotation: str | None = None) -> Any:
    found = ask_not(make_namespace(**({INJECT: annotation} if annotation else {})))
    found["metadata"]["labels"] |= {INJECT: label} if label else {}
    return found


def asking_of(address: str) -> dict[str, Any]:
    """The sidecar of the one pod looks for its control plane there."""
    pod = make_pod()
    command = pod["spec"]["initContainers"][-1]["command"]
    command[command.index("--control-plane") + 1] = address
    return {"scope": scope(pod)}


def without_rules(pod: Any) -> Any:
    """As mesh inject --manual --set interception=none has it: no annotation says so."""
    pod["spec"]["initContainers"] = [item for item in pod["spec"]["initContainers"] if item["name"] != "gossamer-init"]
    return pod


def failing(sidecar: dict[str, Any]) -> dict[str, Any]:
    pod = make_pod()
    pod["status"] |= {"conditions": [], "initContainerStatuses": [{"name": "gossamer-proxy", **sidecar}]}
    return {"scope": scope(pod)}


def test_all_is_well() -> None:
    wrong = {name: line.finding for name, line in judge().items() if line.finding.verdict is not OK}
    assert list(wrong) == ["availability"]
    assert wrong["availability"].verdict is SKIPPED


@pytest.mark.parametrize(
    ("name", "verdict", "cause", "changes"),
    [
        ("api", FAILED, "no route", {"trouble": "no route"}),
        ("kubernetes-version", FAILED, "needs 1.25 or newer", {"version": (1, 24)}),
        ("kubernetes-version", WARNING, "no native sidecars", {"version": (1, 28)}),
        ("kubernetes-version", OK, "Kubernetes 1.29", {"version": (1, 29)}),
        ("clock", OK, "", {"ahead_s": -5.0}),
        ("clock", WARNING, "6 s behind", {"ahead_s": -6.0}),
        ("clock", FAILED, "61 s ahead of", {"ahead_s": 61.0}),
        ("clock", SKIPPED, "no date", {"ahead_s": Unseen("no date")}),
        ("namespace", FAILED, "there is no namespace gossamer", {"namespace": None}),
        ("namespace", SKIPPED, "403", {"namespace": Unseen("403: no")}),
        ("installed", FAILED, "not installed in gossamer", {"record": None}),
        (
            "namespace",
            FAILED,
            "there is no namespace gossamer",
            {"namespace": None, "elsewhere": "mesh-system"},
        ),
        ("installed", FAILED, "may not be seen: 403", {"record": Unseen("403: no")}),
        ("installed", SKIPPED, "403", {"record": Unseen("403: no"), "asked": Asked(HOME, workloads="shop")}),
        ("installed", FAILED, "is 'x'", {"record": Malformed("controlPlane.replicas is 'x'")}),
        ("version", WARNING, "Gossamer 99.0 is installed", {"record": record("99.0")}),
        ("control-plane", FAILED, "there is no Deployment", {"deployments": ()}),
        ("control-plane", FAILED, "scaled to 0", {"deployments": (make_part("controlplane", 0, 0),)}),
        ("control-plane", WARNING, "1 of 2 replicas", {"deployments": (make_part("controlplane", 1, 2),)}),
        ("control-plane", FAILED, "ErrImagePull: no such", down(**waiting("ErrImagePull", "no such"))),
        (
            "control-plane",
            FAILED,
            "it ended before with exit code 2 (Error mesh controlplane: wrong)",
            down(**waiting("CrashLoopBackOff", exitCode=2, reason="Error", message="a\nmesh controlplane: wrong\n")),
        ),
        (
            "control-plane",
            FAILED,
            "Unschedulable: 0/1 nodes",
            down(
                conditions=[
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
                ]
            ),
        ),
        (
            "control-plane",
            FAILED,
            "controlplane is not ready",
            down(conditions=[], containerStatuses=[{"name": "controlplane", "ready": False, "state": {"running": {}}}]),
        ),
        ("control-plane", FAILED, "no pod has been made yet", {**down(), "own_pods": ()}),
        ("injector", SKIPPED, "single-namespace", {"record": record(singleNamespace=True)}),
        ("injector", SKIPPED, "injector.enabled is false", {**OFF, "deployments": (), "webhook": None}),
        ("injector", FAILED, "goes on injecting: the webhook gossamer-injector", {**OFF, "deployments": ()}),
        ("injector", FAILED, "goes on injecting: the Deployment gossamer-injector", {**OFF, "webhook": None}),
        ("services", FAILED, "no Service gossamer-injector", {"own_services": (make_own_service("controlplane"),)}),
        ("services", OK, "", {**OFF, "own_services": (make_own_service("controlplane"),)}),
        (
            "services",
            FAILED,
            "the Service gossamer-injector selects none",
            {"own_services": (make_own_service("controlplane"), make_own_service("injector", app="x"))},
        ),
        (
            "rollout",
            WARNING,
            "controlplane-one runs 0.0.1",
            {"own_pods": (make_own_pod("controlplane", version="0.0.1"),)},
        ),
        ("availability", WARNING, "fewer than two replicas", {"record": record(controlPlane_replicas=2)}),
        ("availability", WARNING, "no PodDisruptionBudget", {"record": record(controlPlane_replicas=2), **TWO}),
        (
            "availability",
            WARNING,
            "all pods of gossamer-controlplane are on the node one",
            {
                "record": record(controlPlane_replicas=2, singleNamespace=True),
                **TWO,
                "own_pods": (make_own_pod("controlplane"), make_own_pod("controlplane")),
                "budgets": ({"metadata": {"name": "gossamer-controlplane"}},),
            },
        ),
        ("webhook", FAILED, "no pod gets a sidecar", {"webhook": None}),
        ("webhook", FAILED, "no pod gets a sidecar", {"webhook": {"metadata": {}, "webhooks": []}}),
        ("webhook", SKIPPED, "403", {"webhook": Unseen("403: no")}),
        ("webhook-selection", SKIPPED, "0.0.1", {"record": record("0.0.1")}),
        ("webhook-selection", WARNING, "rules of", {"webhook": make_webhook(PAIR.authority, rules=[])}),
        (
            "webhook-selection",
            WARNING,
            "is missing",
            {"webhook": make_webhook(PAIR.authority, name="other")},
        ),
        ("webhook-guard", SKIPPED, "403", {"guard": (Unseen("403: no"), Unseen("403: no"))}),
        ("webhook-guard", SKIPPED, "0.0.1", {"record": record("0.0.1")}),
        (
            "webhook-guard",
            SKIPPED,
            "is false",
            {"record": record(injector_admissionPolicy=False), "guard": (None, None)},
        ),
        ("webhook-guard", WARNING, "Binding gossamer-injector is gone", {"guard": (make_guard()[0], None)}),
        (
            "webhook-guard",
            WARNING,
            "Policy gossamer-injector is not as it was installed",
            {"guard": ({"spec": {"failurePolicy": "Ignore"}}, make_guard()[1])},
        ),
        ("webhook-authority", FAILED, "is empty", {"webhook": make_webhook()}),
        ("webhook-authority", FAILED, "something else", {"webhook": make_webhook("garbage")}),
        ("webhook-authority", FAILED, "no authority that is valid now", {"webhook": make_webhook(EXPIRED.authority)}),
        ("webhook-authority", OK, "", {"webhook": make_webhook(EXPIRED.authority, PAIR.authority)}),
        ("webhook-certificate", SKIPPED, "of yours", {"secret": None}),
        ("webhook-certificate", SKIPPED, "403", {"secret": Unseen("403: no")}),
        ("webhook-certificate", FAILED, "cannot be used", {"secret": make_secret(None)}),
        ("webhook-certificate", FAILED, "is not ours", {"secret": {"metadata": {}, "data": {"password": ""}}}),
        ("webhook-certificate", FAILED, "does not trust it", {"webhook": make_webhook(OTHER.authority)}),
        ("webhook-certificate", FAILED, "was not renewed in time", {"now": NOW.replace(month=3, day=15)}),
        ("webhook-certificate", OK, "valid until 2026-04-01", {"now": NOW.replace(month=3, day=1)}),
        (
            "webhook-certificate",
            FAILED,
            "has expired",
            {"secret": make_secret(EXPIRED), "webhook": make_webhook(EXPIRED.authority, PAIR.authority)},
        ),
        (
            "failure-policy",
            WARNING,
            "there is one injector",
            {"webhook": make_webhook(PAIR.authority, failurePolicy="Fail")},
        ),
        ("failure-policy", WARNING, "several injectors", {"record": record(injector_replicas=2)}),
        (
            "pod-security",
            FAILED,
            "shop enforces baseline",
            {"scope": scope(namespace=make_namespace(level="baseline"))},
        ),
        ("pod-security", OK, "", {"scope": scope(namespace=make_namespace(level="privileged"))}),
        (
            "pod-security",
            OK,
            "",
            {"scope": scope(namespace=make_namespace("shop", "restricted", **{INTERCEPTION: "none"}))},
        ),
        (
            "pod-security",
            OK,
            "",
            {
                "scope": scope(
                    make_pod(annotations={INTERCEPTION: "none"}), namespace=make_namespace(level="restricted")
                )
            },
        ),
        (
            "pod-security",
            FAILED,
            "shop enforces baseline",
            {"scope": scope(namespace=ask_not(make_namespace(level="baseline")), workloads=(asking(),))},
        ),
        (
            "pod-security",
            OK,
            "",
            {"scope": scope(namespace=ask_not(make_namespace(level="baseline")), workloads=(make_maker(),))},
        ),
        (
            "pod-security",
            OK,
            "",
            {"scope": scope(without_rules(make_pod()), namespace=make_namespace(level="baseline"))},
        ),
        ("admitted", FAILED, "ReplicaSet shop/voting: no limits", {"scope": scope(workloads=(refused("no limits"),))}),
        (
            "admitted",
            OK,
            "",
            {"scope": scope(workloads=(refused("no limits", spec={"replicas": 0}),))},
        ),
        (
            "admitted",
            FAILED,
            "Job shop/voting: later",
            {
                "scope": scope(
                    workloads=(make_maker("Job"),),
                    events=(make_event("Job", "later"), make_event("Job", "before", "2025-12-31T23:44:00Z")),
                )
            },
        ),
        (
            "admitted",
            FAILED,
            "DaemonSet shop/voting: no",
            {
                "scope": scope(
                    workloads=(make_maker("DaemonSet", desiredNumberScheduled=2, currentNumberScheduled=1),),
                    events=(make_event("DaemonSet", "no"),),
                )
            },
        ),
        (
            "admitted",
            OK,
            "",
            {
                "scope": scope(
                    workloads=(make_maker("StatefulSet"), make_maker("Job", active=1)),
                    events=(make_event("StatefulSet", "no", "2025-12-31T23:00:00Z"), make_event("Job", "no")),
                )
            },
        ),
        (
            "admitted",
            OK,
            "",
            {"scope": scope(namespace=ask_not(make_namespace()), workloads=(refused("not our business"),))},
        ),
        ("admitted", SKIPPED, "403", {"scope": scope(events=Unseen("403: no"))}),
        (
            "injected",
            FAILED,
            "without a sidecar: shop/bare",
            {"scope": scope(ask(make_pod("bare", meshed=False)), namespace=ask_not(make_namespace()))},
        ),
        (
            "injected",
            FAILED,
            "shop gets no pods: annotation",
            {"scope": scope(namespace=make_namespace(**{INTERCEPTION: "sometimes"}))},
        ),
        (
            "injected",
            FAILED,
            "shop has the label gossamer.mesh/inject: true, which",
            {"scope": scope(strays=(make_stray("true"),))},
        ),
        (
            "injected",
            FAILED,
            "as an annotation, without the label",
            {"scope": scope(strays=(make_stray(None, "enabled"),))},
        ),
        (
            "injected",
            OK,
            "",
            {"scope": scope(strays=(make_stray("disabled", "enabled"), make_stray(None, "disabled")))},
        ),
        ("injected", FAILED, "without a sidecar: shop/bare", {"scope": scope(make_pod("bare", meshed=False))}),
        ("injected", OK, "", {"scope": scope(make_pod(meshed=False, hostNetwork=True))}),
        (
            "injected",
            OK,
            "",
            {"scope": scope(make_pod(meshed=False, annotations={"gossamer.mesh/inject": "disabled"}))},
        ),
        (
            "injected",
            FAILED,
            "'sometimes'",
            {"scope": scope(make_pod(meshed=False, annotations={INTERCEPTION: "sometimes"}))},
        ),
        ("injected", SKIPPED, "mesh inject --manual", {"record": record(singleNamespace=True)}),
        ("injected", SKIPPED, "403", {"scope": Unseen("403: no")}),
        ("sidecar-version", WARNING, "shop/voting has", {"record": record(image_tag="9")}),
        (
            "sidecar-version",
            OK,
            "",
            {"scope": scope(make_pod(annotations={"config.gossamer.mesh/proxy-image": "gossamer/mesh:0.1"}))},
        ),
        ("sidecar-version", SKIPPED, "no pod has a sidecar yet", {"scope": scope()}),
        ("sidecar-ready", FAILED, "ErrImagePull", failing({"state": {"waiting": {"reason": "ErrImagePull"}}})),
        ("sidecar-ready", FAILED, "exit code 1", failing({"state": {"terminated": {"exitCode": 1}}})),
        ("sidecar-ready", FAILED, "gossamer-proxy is not ready", failing({"state": {"running": {}}, "ready": False})),
        ("connected", FAILED, "no stream of shop/voting", {"pages": {"a": {"streams": []}, "b": {}}}),
        ("connected", OK, "", {"pages": {"a": {"streams": [{"node": ANONYMOUS}]}}}),
        (
            "connected",
            FAILED,
            "no stream of 1 of shop/voting; shop/other",
            {"scope": scope(make_pod(), make_pod("other")), "pages": {"a": {"streams": [{"node": ANONYMOUS}]}}},
        ),
        ("connected", WARNING, "started less than 30 s ago", {**NO_STREAMS, **started(10)}),
        ("connected", FAILED, "no stream of shop/voting", {**NO_STREAMS, **started(10), "ahead_s": 25.0}),
        ("connected", FAILED, "no stream of shop/voting", {**NO_STREAMS, **started(31)}),
        (
            "connected",
            WARNING,
            "or itself started less than 30 s ago",
            {**NO_STREAMS, "own_pods": (make_own_pod("controlplane", containerStatuses=[{"state": running(29)}]),)},
        ),
        (
            "connected",
            FAILED,
            "shop/voting, which asks gossamer-controlplane.old.svc",
            {**NO_STREAMS, **asking_of("gossamer-controlplane.old.svc:4150")},
        ),
        (
            "connected",
            FAILED,
            "asks gossamer-controlplane:4150",
            {**NO_STREAMS, **asking_of("gossamer-controlplane:4150")},
        ),
        (
            "connected",
            FAILED,
            "no stream of shop/voting",
            {**NO_STREAMS, **asking_of("gossamer-controlplane.gossamer:4150")},
        ),
        ("connected", SKIPPED, "cannot be asked (403", {"pages": {"a": Unseen("403: no")}}),
        ("connected", SKIPPED, "no pod of the control plane runs", {"pages": {}}),
        (
            "refused",
            WARNING,
            "a.shop refused cluster: too large",
            {"pages": {"a": {"nacks": [{"node": "a.shop", "names": ["cluster"], "problem": "too large"}]}}},
        ),
        (
            "opaque-ports",
            WARNING,
            "port 8080 is grpc",
            {"scope": scope(services=(make_service(annotations={OPAQUE: "8000-9000"}),))},
        ),
        ("opaque-ports", WARNING, "x in ", {"scope": scope(services=(make_service(annotations={OPAQUE: "x"}),))}),
        (
            "opaque-ports",
            WARNING,
            "port 3306 is http",
            {"scope": scope(services=(make_service(port=3306, appProtocol="http"),))},
        ),
        ("opaque-ports", OK, "", {"scope": scope(services=(make_service(port=3306, name="mysql"),))}),
        ("opaque-ports", OK, "", {"scope": scope(services=(make_service({OPAQUE: ""}, port=3306),))}),
        ("endpoints", WARNING, "shop/voting (app=voting)", {"scope": scope(services=(make_service(),))}),
        ("endpoints", OK, "", {"scope": scope(make_pod(), services=(make_service(),))}),
    ],
)
def test_judgements(name: str, verdict: Verdict, cause: str, changes: dict[str, Any]) -> None:
    line = judge(**changes)[name]
    assert line.finding.verdict is verdict, line
    assert cause in line.finding.cause
    assert bool(line.finding.cure) == (verdict in (WARNING, FAILED))
    assert line.link == f"docs/checks.md#{name}"


def test_what_depends_on_a_failure_is_not_run() -> None:
    lines = judge(webhook=None)
    assert lines["webhook-certificate"].finding == Finding(NOT_RUN, "it needs: the API server knows its authority")
    assert all(line.finding.verdict is NOT_RUN for line in [*judge(trouble="x").values()][1:])


def test_pods_that_end_or_have_ended_are_not_judged() -> None:
    ended, going = make_pod("a", meshed=False), make_pod("b", meshed=False)
    ended["status"] = {"phase": "Succeeded"}
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert judge(scope=scope(ended, going))["injected"].finding.verdict is OK


@pytest.mark.parametrize(
    ("release", "cure"),
    [
        ("", "mesh upgrade --ha | kubectl apply -f -; it needs three nodes"),
        ("my", "helm upgrade --reuse-values --namespace gossamer my CHART -f values-ha.yaml; it needs three nodes"),
    ],
)
def test_what_helm_installed_helm_upgrades(release: str, cure: str) -> None:
    found = judge(record=record(controlPlane_replicas=2, release=release))
    assert found["availability"].finding.cure == cure


def test_an_installation_elsewhere_is_named_in_the_cure() -> None:
    found = judge(asked=Asked("other"), record=record("0.0.1"))
    assert found["version"].finding.cure == "mesh upgrade --namespace other | kubectl apply -f -"


def test_the_cure_names_the_namespace_where_it_is_installed() -> None:
    found = judge(asked=Asked("shop"), record=None, elsewhere="mesh-system")["installed"].finding
    assert found.cure.startswith("--namespace mesh-system: there it is installed")


def test_an_injector_that_is_off_is_deleted_with_all_that_is_its() -> None:
    cure = judge(**OFF)["injector"].finding.cure
    assert cure.startswith("kubectl --namespace gossamer delete --ignore-not-found mutatingwebhookconfigurations/")
    parts = cure.partition("--ignore-not-found ")[2].split()
    assert {"deployments/gossamer-injector", "secrets/gossamer-injector", "clusterroles/gossamer-injector"} <= set(
        parts
    )
    assert all(part.endswith("/gossamer-injector") for part in parts)


def test_workloads_alone_are_judged_without_sight_of_the_installation() -> None:
    bare = scope(make_pod("bare", meshed=False))
    lines = judge(asked=Asked(HOME, workloads="shop"), record=Unseen("403: no"), scope=bare)
    assert lines["injected"].finding.verdict is FAILED
    assert lines["sidecar-version"].finding == Finding(SKIPPED, "403: no")


def test_many_are_counted() -> None:
    pods = [make_pod(f"bare-{number}", meshed=False) for number in range(7)]
    assert judge(scope=scope(*pods))["injected"].finding.cause.endswith("; shop/bare-4; and 2 more")


def test_texts_of_others_stay_on_one_line() -> None:
    cause = judge(**down(**waiting("A", "b\n\x1b[2Jc")))["control-plane"].finding.cause
    assert f"{HOME}/controlplane-one: A: b  [2Jc" in cause


def test_a_pod_that_is_ready_needs_no_reason() -> None:
    assert READY[0]["type"] == "Ready"
    lines = judge(deployments=(make_part("controlplane", 0), make_part("injector")))
    assert "no pod has been made yet" in lines["control-plane"].finding.cause
