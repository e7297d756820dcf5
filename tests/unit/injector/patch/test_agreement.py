"""What the injector writes is what the sidecar reads: its own parsers are asked, since the parts share no code."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.patch.ending import read_end, share_out
from injector.patch.wishes import OPAQUE_PORTS, read_wishes
from mesh.contract import ADMIN_PORT, INIT_CONTAINER, PROXY_CONTAINER
from proxy import arguments
from proxy.admin.probes import parse_probes
from proxy.hooks import arguments as hooks
from proxy.init import arguments as init
from proxy.init.whereabouts import HOST_IP, POD_IP
from proxy.life.settings import read_life
from proxy.membership import read_membership
from proxy.route import hints
from proxy.route.model import Settings as SidecarSettings
from tests.unit.injector.patch.pods import Fields, environment, find, make_pod, mesh

# What the kubelet makes of the downward API's fields.
POD = {
    "metadata.name": "web-1",
    "metadata.namespace": "shop",
    "status.podIP": "10.1.2.3",
    "status.hostIP": "192.0.2.7",
    "spec.nodeName": "node-1",
    "metadata.labels['topology.kubernetes.io/zone']": "zone-1",
}
PROBED = """
spec:
  containers:
  - name: web
    ports: [{name: http, containerPort: 8080}]
    livenessProbe: {httpGet: {port: http, path: /$HOME, scheme: HTTPS, httpHeaders: [{name: a, value: b}]}}
    readinessProbe: {grpc: {port: 81, service: s}, timeoutSeconds: 3600}
    startupProbe: {tcpSocket: {port: 82}}
"""
CHOICES: list[dict[str, str]] = [{}, {"native_sidecar": "false"}, {"interception": "none"}, {"proxy_workers": "64"}]


def environment_inside(container: Fields) -> dict[str, str]:
    """As the kubelet sets it: $(NAME) is replaced, $$ is one $."""
    found = {name: value.replace("$$", "$") for name, value in environment(container).items()}
    return found | {
        item["name"]: POD[item["valueFrom"]["fieldRef"]["fieldPath"]]
        for item in container["env"]
        if "valueFrom" in item
    }


@pytest.mark.parametrize("options", CHOICES, ids=str)
def test_the_sidecar_understands_its_command_line_and_environment(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.membership.check_files", lambda *_: None)  # there is no /run/gossamer here
    outcome = mesh(make_pod(PROBED, **options))
    proxy = find(outcome, PROXY_CONTAINER)
    assert proxy["command"][:2] == ["mesh", "proxy"]
    parsed = arguments.parse(proxy["command"][2:])
    assert parsed.workers == int(options.get("proxy_workers", 1))
    assert parsed.intercept is (options.get("interception") != "none")
    inside = environment_inside(proxy)
    membership = read_membership(parsed, inside)
    assert (membership.pod, membership.namespace, membership.node, membership.zone) == (
        *("web-1", "shop", "node-1", "zone-1"),
    )
    life = read_life(inside)
    assert life.pod_ip == "10.1.2.3"
    probes = {f"/app-health/web/{kind}" for kind in ("liveness", "readiness", "startup")}
    assert {*life.probes} == (probes if parsed.intercept else set())
    if parsed.intercept:
        told = environment_inside(find(outcome, INIT_CONTAINER))
        assert (told[POD_IP], told[HOST_IP]) == ("10.1.2.3", "192.0.2.7")
        rules = init.read_settings(init.parse(find(outcome, INIT_CONTAINER)["command"][3:]))
        assert [*range(rules.admin_ports.first, rules.admin_ports.last + 1)] == [
            port["containerPort"] for port in proxy["ports"] if port["containerPort"] >= ADMIN_PORT
        ]
        target: Any = life.probes["/app-health/web/liveness"].target
        assert (target.port, target.path, target.tls) == (8080, "/$HOME", True)


ODD = st.none() | st.integers(-1, 70_000) | st.text(max_size=3) | st.sampled_from(["HTTP", "https", "/\t", "²", [], {}])
TARGETS = st.fixed_dictionaries(
    {"port": st.integers(1, 65_535) | ODD},
    optional={
        "path": ODD,
        "scheme": ODD,
        "service": ODD,
        "httpHeaders": ODD | st.lists(ODD | st.fixed_dictionaries({"name": ODD, "value": ODD}), max_size=2),
    },
)
PROBES = st.builds(
    lambda handler, target, rest: {handler: target, **rest},
    st.sampled_from(["httpGet", "tcpSocket", "grpc"]),
    TARGETS,
    st.fixed_dictionaries({}, optional={"timeoutSeconds": ODD}),
)


@given(st.text(max_size=3), st.lists(PROBES, min_size=1, max_size=3))
def test_whatever_a_pod_says_of_probes_the_sidecar_starts(name: str, probes: list[Fields]) -> None:
    """Much of this the API server refuses; but it asks us first, and not all that it takes is HTTP."""
    pod = make_pod()
    kinds = [f"{kind}Probe" for kind in ("liveness", "readiness", "startup")]
    pod["spec"]["containers"] = [{"name": name, "image": "a", **dict(zip(kinds, probes, strict=False))}]
    told = environment_inside(find(mesh(pod), PROXY_CONTAINER)).get("GOSSAMER_PROBES")
    assert told is None or parse_probes(told)


@pytest.mark.parametrize(
    "options",
    [
        {"drain_delay": "250ms", "drain_timeout": "1.5m", "shutdown_grace": "1h"},
        {"drain_delay": "0", "shutdown_grace": "0s"},
    ],
    ids=str,
)
def test_it_understands_how_the_pod_ends(options: dict[str, str]) -> None:
    proxy = find(mesh(make_pod(native_sidecar="false", **options)), PROXY_CONTAINER)
    life = read_life(environment_inside(proxy))
    expected = (0.25, 90.0, 3600.0) if "drain_timeout" in options else (0.0, 5.0, 0.0)
    assert (life.drain_delay_s, life.drain_timeout_s, life.shutdown_grace_s) == expected


def test_of_its_end_it_is_not_told_what_it_does_by_itself() -> None:
    pod = make_pod("spec: {terminationGracePeriodSeconds: 60}")
    life = read_life(environment_inside(find(mesh(pod), PROXY_CONTAINER)))
    shares = share_out(read_wishes({}, {}, {}), read_end(pod["spec"]))
    assert life.drain_timeout_s is None
    assert shares.drain_timeout == f"{SidecarSettings().drain_timeout_s:.0f}s"
    assert shares.drain_delay == f"{life.drain_delay_s:.0f}s"


@pytest.mark.parametrize(("ports", "found"), [("", set()), ("9, 25-27", {9, 25, 26, 27}), (OPAQUE_PORTS, None)])
def test_it_understands_which_ports_are_opaque(
    ports: str, found: set[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = environment_inside(find(mesh(make_pod(opaque_ports=ports)), PROXY_CONTAINER))
    for name, value in inside.items():
        monkeypatch.setenv(name, value)
    told = arguments.parse(["--intercept"]).opaque_ports
    if found is None:
        assert told is None
        assert {int(port) for port in OPAQUE_PORTS.split(",")} == hints.OPAQUE_PORTS
    else:
        assert {port for port in range(1, 65536) if port in told} == found


@pytest.mark.parametrize("options", CHOICES[:2], ids=str)
def test_its_hooks_are_commands(options: dict[str, str]) -> None:
    proxy = find(mesh(make_pod(**options)), PROXY_CONTAINER)
    commands = [hook["exec"]["command"] for hook in proxy["lifecycle"].values()]
    assert [hooks.parse(command[2:])[0].timeout_s for command in commands] == [120.0] * len(commands)


def test_the_rules_are_those_asked_for() -> None:
    asked = {
        "skip_inbound_ports": "25, 9000-9010",
        "skip_outbound_ports": "1-65535",
        "skip_subnets": "10.1.0.0/16, fd00::/8, 192.0.2.7",
        "proxy_uid": "4294967294",
        "iptables_backend": "nft",
    }
    rules = find(mesh(make_pod(**asked)), INIT_CONTAINER)
    assert rules["command"][:3] == ["mesh", "proxy", "init"]
    parsed = init.parse(rules["command"][3:])
    settings = init.read_settings(parsed)
    assert parsed.backend == "nft"
    assert settings.proxy_uid == 4294967294
    assert [(item.first, item.last) for item in settings.skip_inbound_ports] == [(25, 25), (9000, 9010)]
    assert [(item.first, item.last) for item in settings.skip_outbound_ports] == [(1, 65535)]
    assert [str(subnet) for subnet in settings.skip_ipv4_subnets] == ["10.1.0.0/16", "192.0.2.7/32"]
    assert [str(subnet) for subnet in settings.skip_ipv6_subnets] == ["fd00::/8"]
