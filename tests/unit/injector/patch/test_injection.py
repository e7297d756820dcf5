from __future__ import annotations

import pytest

from injector.patch import Place, Settings, Verdict, uninject
from injector.patch.ending import read_end, share_out
from injector.patch.settings import name_control_plane
from injector.patch.wishes import read_wishes
from mesh.contract import INIT_CONTAINER, PROXY_CONTAINER
from mesh.ports import OPAQUE_PORTS
from tests.unit.injector.patch.pods import environment, find, make_pod, mesh, names

SETUP = "spec: {initContainers: [{name: setup}], volumes: [{name: data, emptyDir: {}}]}"


def test_a_native_sidecar_serves_before_anything_else_starts() -> None:
    outcome = mesh(make_pod(SETUP))
    assert outcome.verdict is Verdict.INJECTED
    assert names(outcome, "initContainers") == [INIT_CONTAINER, PROXY_CONTAINER, "setup"]
    assert names(outcome, "containers") == ["web"]
    assert names(outcome, "volumes") == ["data", "gossamer-run", "gossamer-identity", "gossamer-nothing"]
    proxy = find(outcome, PROXY_CONTAINER)
    assert proxy["restartPolicy"] == "Always"
    assert proxy["lifecycle"] == {
        "postStart": {"exec": {"command": ["mesh", "proxy", "await"]}},
        "preStop": {"exec": {"command": ["mesh", "proxy", "drain"]}},
    }


def test_a_plain_container_comes_first_and_its_rules_last() -> None:
    outcome = mesh(make_pod(SETUP, native_sidecar="false"))
    assert names(outcome, "initContainers") == ["setup", INIT_CONTAINER]
    assert names(outcome, "containers") == [PROXY_CONTAINER, "web"]
    proxy = find(outcome, PROXY_CONTAINER)
    assert "restartPolicy" not in proxy
    assert proxy["lifecycle"]["postStart"] == {"exec": {"command": ["mesh", "proxy", "await"]}}
    assert outcome.after["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "web"


@pytest.mark.parametrize(("minor", "is_native"), [(28, False), (29, True), (40, True)])
def test_an_older_cluster_knows_no_native_sidecars(minor: int, is_native: bool) -> None:
    outcome = mesh(make_pod(), settings=Settings().on_kubernetes(1, minor))
    assert (PROXY_CONTAINER in names(outcome, "initContainers")) is is_native
    forced = mesh(make_pod(), settings=Settings(defaults={"native-sidecar": "true"}).on_kubernetes(1, minor))
    assert PROXY_CONTAINER in names(forced, "initContainers")


def test_without_interception_the_application_calls_the_sidecar_itself() -> None:
    probed = "spec: {containers: [{name: web, readinessProbe: {tcpSocket: {port: 1}}}]}"
    outcome = mesh(make_pod(probed, interception="none"))
    assert names(outcome, "initContainers") == [PROXY_CONTAINER]
    proxy = find(outcome, PROXY_CONTAINER)
    assert proxy["command"][:4] == ["mesh", "proxy", "--listen", "127.0.0.1:4140"]
    assert [*proxy["lifecycle"]] == ["postStart"]
    assert [port["containerPort"] for port in proxy["ports"]] == [4191]
    assert find(outcome, "web") == find(mesh(make_pod(probed, interception="none")), "web")
    assert outcome.after["spec"]["containers"] is outcome.before["spec"]["containers"]


def test_only_the_init_container_is_root_and_it_may_only_write_rules() -> None:
    outcome = mesh(make_pod("spec: {securityContext: {runAsNonRoot: true, runAsUser: 1000}}"))
    rules, proxy = (find(outcome, name)["securityContext"] for name in (INIT_CONTAINER, PROXY_CONTAINER))
    common = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert rules == common | {
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
    }
    assert proxy == common | {
        "runAsUser": 2102,
        "runAsGroup": 2102,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("native", ["true", "false"])
def test_neither_container_has_the_applications_token_for_the_api(native: str) -> None:
    outcome = mesh(make_pod(native_sidecar=native))
    volumes = {item["name"]: item for item in outcome.after["spec"]["volumes"]}
    for name in (INIT_CONTAINER, PROXY_CONTAINER):
        (mount,) = (
            mount
            for mount in find(outcome, name)["volumeMounts"]
            if mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
        )
        assert mount["readOnly"] is True
        assert volumes[mount["name"]]["emptyDir"] == {"medium": "Memory", "sizeLimit": "4Ki"}


@pytest.mark.parametrize(
    ("whole", "requests", "limits"),
    [
        ({}, {"cpu": "10m", "memory": "40Mi"}, {"cpu": "1"}),
        ({"requests": {"memory": "1Gi"}}, {"cpu": "10m"}, {"cpu": "1"}),
        ({"limits": {"cpu": "1"}}, {"memory": "40Mi"}, {}),
        ({"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}}, {}, {}),
    ],
)
def test_of_what_the_pod_has_as_a_whole_ours_have_none_of_their_own(
    whole: dict[str, dict[str, str]], requests: dict[str, str], limits: dict[str, str]
) -> None:
    pod = make_pod(proxy_cpu_limit="1")
    pod["spec"]["resources"] = whole
    outcome = mesh(pod)
    for name in (INIT_CONTAINER, PROXY_CONTAINER):
        resources = find(outcome, name)["resources"]
        assert (resources.get("requests", {}), resources.get("limits", {})) == (requests, limits)
    assert outcome.after["spec"]["resources"] == whole


def test_options_reach_the_command_lines() -> None:
    pod = make_pod(
        skip_inbound_ports="25",
        skip_outbound_ports="3306, 9000-9010",
        skip_subnets="10.0.0.0/8",
        proxy_uid="1001",
        iptables_backend="legacy",
        opaque_ports="5432",
        proxy_image="mesh:2",
        proxy_image_pull_policy="Never",
        proxy_cpu_limit="1",
        proxy_memory_limit="64Mi",
        proxy_await="false",
    )
    outcome = mesh(pod, settings=Settings(control_plane=name_control_plane("elsewhere", "example.local")))
    rules, proxy = find(outcome, INIT_CONTAINER), find(outcome, PROXY_CONTAINER)
    assert rules["command"][3:] == [
        *("--skip-inbound-ports", "25", "--skip-outbound-ports", "3306,9000-9010"),
        *("--skip-subnets", "10.0.0.0/8", "--proxy-uid", "1001", "--backend", "legacy"),
    ]
    assert "gossamer-controlplane.elsewhere.svc.example.local:4150" in proxy["command"]
    assert environment(proxy) == {"GOSSAMER_DRAIN_TIMEOUT": "24s", "GOSSAMER_OPAQUE_PORTS": "5432"}
    assert [*proxy["lifecycle"]] == ["preStop"]
    for container in (rules, proxy):
        assert (container["image"], container["imagePullPolicy"]) == ("mesh:2", "Never")
        assert container["resources"]["limits"] == {"cpu": "1", "memory": "64Mi"}
    assert proxy["securityContext"]["runAsUser"] == 1001


@pytest.mark.parametrize(
    ("grace_s", "options", "expected"),
    [
        (36, {}, {}),
        (30, {}, {"GOSSAMER_DRAIN_TIMEOUT": "24s"}),
        (None, {}, {"GOSSAMER_DRAIN_TIMEOUT": "24s"}),
        (9, {}, {"GOSSAMER_DRAIN_DELAY": "3s", "GOSSAMER_DRAIN_TIMEOUT": "5s"}),
        (5, {}, {"GOSSAMER_DRAIN_DELAY": "1s", "GOSSAMER_DRAIN_TIMEOUT": "3s"}),
        (0, {}, {"GOSSAMER_DRAIN_DELAY": "0s", "GOSSAMER_DRAIN_TIMEOUT": "1s"}),
        (60, {"drain_delay": "1m"}, {"GOSSAMER_DRAIN_DELAY": "1m", "GOSSAMER_DRAIN_TIMEOUT": "1s"}),
        (30, {"drain_delay": "1500ms"}, {"GOSSAMER_DRAIN_DELAY": "1500ms", "GOSSAMER_DRAIN_TIMEOUT": "27s"}),
        (
            30,
            {"native_sidecar": "false", "drain_delay": "10s"},
            {
                "GOSSAMER_DRAIN_DELAY": "10s",
                "GOSSAMER_DRAIN_TIMEOUT": "5s",
                "GOSSAMER_SHUTDOWN_GRACE": "14s",
            },
        ),
        (
            30,
            {"drain_delay": "1s", "drain_timeout": "9s"},
            {"GOSSAMER_DRAIN_DELAY": "1s", "GOSSAMER_DRAIN_TIMEOUT": "9s"},
        ),
        (
            30,
            {"native_sidecar": "false"},
            {"GOSSAMER_DRAIN_TIMEOUT": "5s", "GOSSAMER_SHUTDOWN_GRACE": "19s"},
        ),
        (
            2,
            {"native_sidecar": "false"},
            {"GOSSAMER_DRAIN_DELAY": "0s", "GOSSAMER_DRAIN_TIMEOUT": "1s", "GOSSAMER_SHUTDOWN_GRACE": "0s"},
        ),
        (
            30,
            {"native_sidecar": "false", "shutdown_grace": "7s"},
            {"GOSSAMER_DRAIN_TIMEOUT": "5s", "GOSSAMER_SHUTDOWN_GRACE": "7s"},
        ),
    ],
)
def test_the_pods_grace_period_is_shared_out(
    grace_s: int | None, options: dict[str, str], expected: dict[str, str]
) -> None:
    pod = make_pod(**options)
    if grace_s is not None:
        pod["spec"]["terminationGracePeriodSeconds"] = grace_s
    assert environment(find(mesh(pod), PROXY_CONTAINER)) == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ""),
        ({"drain_delay": "90s"}, "drain-delay 90s + drain-timeout 1s is more than the 30s that the pod has"),
        ({"drain_delay": "90s"}, "raise terminationGracePeriodSeconds to at least 91,"),
        ({"drain_timeout": "25s"}, ""),
        ({"drain_timeout": "25500ms"}, "drain-delay 5s + drain-timeout 25500ms is more than the 30s"),
        ({"drain_timeout": "25500ms"}, "to at least 31,"),
        (
            {"shutdown_grace": "28s", "native_sidecar": "false"},
            "drain-delay 5s + shutdown-grace 28s + drain-timeout 5s is more than the 30s",
        ),
    ],
)
def test_an_end_that_takes_longer_than_the_pod_has_is_warned_of(options: dict[str, str], said: str) -> None:
    """The kubelet kills at the end of the period, in silence: an annotation must not ask for that unheard."""
    warnings = mesh(make_pod(**options)).warnings
    assert len(warnings) == (1 if said else 0)
    assert said in "".join(warnings)


@pytest.mark.parametrize("grace_s", range(2, 120))
@pytest.mark.parametrize("native", ["true", "false"])
def test_what_nobody_asked_for_fits_into_the_pods_time(native: str, grace_s: int) -> None:
    pod = make_pod(f"spec: {{terminationGracePeriodSeconds: {grace_s}}}", native_sidecar=native)
    wishes = read_wishes(pod["metadata"]["annotations"], {}, {})
    assert share_out(wishes, read_end(pod["spec"])).count_s() <= grace_s


@pytest.mark.parametrize(
    ("policy", "options", "delay"),
    [
        ("OnFailure", {}, "0s"),
        ("Never", {}, "0s"),
        ("Never", {"drain_delay": "2s"}, "2s"),
        ("Always", {}, None),
    ],
)
def test_a_job_does_not_wait_for_callers_that_it_never_had(
    policy: str, options: dict[str, str], delay: str | None
) -> None:
    pod = make_pod(f"spec: {{restartPolicy: {policy}}}", **options)
    assert environment(find(mesh(pod), PROXY_CONTAINER)).get("GOSSAMER_DRAIN_DELAY") == delay


def test_probes_of_a_container_that_came_later_are_led_to_the_sidecar_too() -> None:
    first = mesh(make_pod("spec: {containers: [{name: web, readinessProbe: {tcpSocket: {port: 80}}}]}"))
    pod = {**first.after, "spec": {**first.after["spec"]}}
    late = {"name": "late", "livenessProbe": {"httpGet": {"port": 81, "path": "/$(HOME)"}}}
    pod["spec"]["containers"] = [*pod["spec"]["containers"], late]
    second = mesh(pod)
    assert second.verdict is Verdict.INJECTED
    assert find(second, "late")["livenessProbe"] == {"httpGet": {"path": "/app-health/late/liveness", "port": 4191}}
    assert environment(find(second, PROXY_CONTAINER))["GOSSAMER_PROBES"] == (
        '{"web":{"readiness":{"tcpSocket":{"port":80}}},"late":{"liveness":{"httpGet":{"path":"/$$(HOME)","port":81}}}}'
    )
    assert mesh(second.after).reason == "already"


def test_a_sidecar_that_somebody_wrote_by_hand_is_left_alone() -> None:
    text = """
    spec:
      initContainers: [{name: gossamer-proxy}]
      containers: [{name: web, readinessProbe: {tcpSocket: {port: 80}}}]
    """
    assert mesh(make_pod(text)).reason == "already"


def test_each_worker_has_an_admin_port_that_the_rules_leave_alone() -> None:
    outcome = mesh(make_pod(proxy_workers="3"))
    rules, proxy = find(outcome, INIT_CONTAINER), find(outcome, PROXY_CONTAINER)
    assert rules["command"][3:] == ["--workers", "3"]
    assert proxy["command"][-2:] == ["--workers", "3"]
    assert [port["containerPort"] for port in proxy["ports"]] == [4143, 4191, 4192, 4193]
    taken = make_pod("spec: {containers: [{name: web, ports: [{containerPort: 4193}]}]}", proxy_workers="3")
    assert mesh(taken).reason == "same-port"


def test_what_is_opaque_by_the_namespace_or_the_installation_is_told_of_the_pod() -> None:
    place = Place("shop", annotations={OPAQUE_PORTS: "5672, 61613"}, is_asked=True)
    for outcome in (
        mesh(make_pod(), place),
        mesh(make_pod(), settings=Settings(defaults={"opaque-ports": "5672,61613"})),
    ):
        assert outcome.after["metadata"]["annotations"][OPAQUE_PORTS] == "5672,61613"
        assert uninject(outcome.after).after == outcome.before
    none = mesh(make_pod(), Place("shop", annotations={OPAQUE_PORTS: ""}, is_asked=True))
    assert none.after["metadata"]["annotations"][OPAQUE_PORTS] == ""
    assert uninject(none.after).after == none.before


@pytest.mark.parametrize("own", ["", "25", "5672"])
def test_a_pods_own_word_of_opaque_ports_stays(own: str) -> None:
    place = Place("shop", annotations={OPAQUE_PORTS: "5672"}, is_asked=True)
    outcome = mesh(make_pod(opaque_ports=own), place)
    assert outcome.after["metadata"]["annotations"][OPAQUE_PORTS] == own
    assert uninject(outcome.after).after == outcome.before
    later = mesh(make_pod(), place).after
    later["metadata"]["annotations"][OPAQUE_PORTS] = "26"
    assert uninject(later).after["metadata"]["annotations"] == {OPAQUE_PORTS: "26"}
