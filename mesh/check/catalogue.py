"""All checks in the order of their lines, what each needs, and the run of them over one set of facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from mesh.check import admission, cluster, installation, services, streams, webhook, workloads
from mesh.check.facts import Facts, Skipped
from mesh.check.line import Check, Finding, Line, Verdict, skip

Groups = Mapping[str, tuple[Check, ...]]

CLUSTER: Final = (
    Check("api", "the API server answers", cluster.judge_reach),
    Check("kubernetes-version", "Kubernetes is new enough", cluster.judge_version, ("api",)),
    Check("clock", "the API server's clock is ours", cluster.judge_clock, ("api",)),
)
BEFORE: Final = (
    Check("rights", "you may install", cluster.judge_rights, ("api", "kubernetes-version")),
    Check("free", "nothing is installed yet", cluster.judge_free, ("api",)),
)
INSTALLATION: Final = (
    Check("namespace", "the namespace exists", installation.judge_namespace, ("api",)),
    Check("installed", "Gossamer is installed", installation.judge_record, ("namespace",)),
    Check("version", "this command is of its version", installation.judge_release, ("installed",)),
    Check("control-plane", "the control plane is available", installation.judge_control_plane, ("installed",)),
    Check("injector", "the injector is available", installation.judge_injector, ("installed",)),
    Check("services", "its Services lead to its pods", installation.judge_services, ("installed",)),
    Check("rollout", "its pods are of its version", installation.judge_rollout, ("installed",)),
    Check("availability", "it is highly available", installation.judge_availability, ("installed",)),
)
WEBHOOK: Final = (
    Check("webhook", "the webhook is registered", webhook.judge_registration, ("installed",)),
    Check("webhook-selection", "it is as it was installed", webhook.judge_selection, ("webhook",)),
    Check("webhook-authority", "the API server knows its authority", webhook.judge_bundle, ("webhook",)),
    Check("webhook-certificate", "its certificate is valid", webhook.judge_certificate, ("webhook-authority",)),
    Check("webhook-guard", "its injector may change nothing else", webhook.judge_guard, ("webhook",)),
    Check("failure-policy", "its failurePolicy fits its replicas", webhook.judge_policy, ("webhook",)),
)
WORKLOADS: Final = (
    Check("pod-security", "meshed namespaces admit the sidecar", admission.judge_admission, ("installed",)),
    Check("admitted", "pods of meshed workloads are admitted", admission.judge_entry, ("installed",)),
    Check("injected", "pods of meshed namespaces have a sidecar", admission.judge_injected, ("installed",)),
    Check("sidecar-version", "sidecars are of the installed version", workloads.judge_versions, ("installed",)),
    Check("sidecar-ready", "sidecars are ready", workloads.judge_readiness, ("installed",)),
    Check("connected", "sidecars have a control plane", streams.judge_connection, ("control-plane",)),
    Check("refused", "no client refused its configuration", streams.judge_refusals, ("control-plane",)),
    Check("opaque-ports", "ports are HTTP or opaque, not both", services.judge_ports, ("installed",)),
    Check("endpoints", "Services select pods", services.judge_endpoints, ("installed",)),
)

ALL: Final[Groups] = {
    "cluster": CLUSTER,
    "installation": INSTALLATION,
    "webhook": WEBHOOK,
    "workloads": WORKLOADS,
}
PRE: Final[Groups] = {"cluster": CLUSTER, "before the installation": BEFORE}
_OF_PROXIES: Final = ("namespace", "installed", "control-plane")
PROXY: Final[Groups] = {
    "cluster": CLUSTER[:1],
    "installation": tuple(check for check in INSTALLATION if check.name in _OF_PROXIES),
    "workloads": WORKLOADS,
}


def run(groups: Groups, facts: Facts) -> list[Line]:
    """Every check, after those that it needs; one that needs what failed is not run, and says so."""
    lines: dict[str, Line] = {}
    for group, checks in groups.items():
        for check in checks:
            blocker = find_blocker(check.needs, lines)
            finding = blocker or judge(check, facts)
            lines[check.name] = Line(group, check, finding)
    return list(lines.values())


def find_blocker(needs: Iterable[str], lines: Mapping[str, Line]) -> Finding | None:
    for name in needs:
        if lines[name].finding.verdict in (Verdict.FAILED, Verdict.NOT_RUN):
            return Finding(Verdict.NOT_RUN, f"it needs: {lines[name].check.title}")
    return None


def judge(check: Check, facts: Facts) -> Finding:
    try:
        return check.judge(facts)
    except Skipped as skipped:
        return skip(str(skipped))
