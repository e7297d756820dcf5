from __future__ import annotations

import json
from typing import Any

import pytest

from injector.patch import uninject
from mesh.contract import PROXY_CONTAINER
from tests.unit.injector.patch.pods import environment, find, make_pod, mesh

PORTS = [{"name": "http", "containerPort": 8080}]


def make(probe: dict[str, Any], kind: str = "readinessProbe", **options: str) -> dict[str, Any]:
    pod = make_pod(**options)
    pod["spec"]["containers"][0] |= {"ports": PORTS, kind: probe}
    return pod


@pytest.mark.parametrize(
    ("probe", "told"),
    [
        ({"tcpSocket": {"port": 80}}, {"tcpSocket": {"port": 80}}),
        ({"tcpSocket": {"port": "http"}}, {"tcpSocket": {"port": 8080}}),
        ({"tcpSocket": {"port": "80"}}, {"tcpSocket": {"port": 80}}),
        (
            {
                "httpGet": {
                    "port": "http",
                    "path": "/$x",
                    "scheme": "HTTPS",
                    "httpHeaders": [{"name": "a", "value": "b"}],
                }
            },
            {"httpGet": {"port": 8080, "path": "/$x", "scheme": "HTTPS", "httpHeaders": [{"name": "a", "value": "b"}]}},
        ),
        (
            {"grpc": {"port": 80, "service": "s"}, "timeoutSeconds": 7},
            {"grpc": {"port": 80, "service": "s"}, "timeoutSeconds": 7},
        ),
        ({"grpc": {"port": 80, "service": None}}, {"grpc": {"port": 80}}),
    ],
)
@pytest.mark.parametrize("kind", ["liveness", "readiness", "startup"])
def test_a_probe_is_led_to_the_sidecar_and_back(probe: dict[str, Any], told: dict[str, Any], kind: str) -> None:
    probe = {"initialDelaySeconds": 3} | probe | {"failureThreshold": 9, "periodSeconds": 4}
    pod = make(probe, f"{kind}Probe")
    outcome = mesh(pod)
    kept = {name: probe[name] for name in probe if name.endswith(("Seconds", "Threshold"))}
    ours = {"path": f"/app-health/web/{kind}", "port": 4191}
    assert find(outcome, "web")[f"{kind}Probe"] == kept | {"httpGet": ours}
    said = environment(find(outcome, PROXY_CONTAINER))["GOSSAMER_PROBES"]
    assert json.loads(said.replace("$$", "$")) == {"web": {kind: told}}
    restored = uninject(outcome.after).after
    assert restored == pod
    assert list(restored["spec"]["containers"][0][f"{kind}Probe"]) == list(probe)


@pytest.mark.parametrize(
    "probe",
    [
        {"exec": {"command": ["true"]}},
        {"httpGet": {"port": 80, "host": "127.0.0.1"}},
        {"tcpSocket": {"port": "metrics"}},
        {"tcpSocket": {"port": 0}},
        {"tcpSocket": {}},
        {"tcpSocket": {"port": 80}, "timeoutSeconds": 3601},
        {"tcpSocket": {"port": 80}, "timeoutSeconds": "soon"},
        {"periodSeconds": 3},
        None,
    ],
)
def test_what_does_not_pass_the_sidecar_stays(probe: dict[str, Any]) -> None:
    outcome = mesh(make(probe))
    assert find(outcome, "web")["readinessProbe"] == probe
    assert "GOSSAMER_PROBES" not in environment(find(outcome, PROXY_CONTAINER))


def test_an_annotation_turns_it_off() -> None:
    outcome = mesh(make({"tcpSocket": {"port": 80}}, rewrite_probes="false"))
    assert find(outcome, "web")["readinessProbe"] == {"tcpSocket": {"port": 80}}


def test_probes_of_other_sidecars_are_led_there_too() -> None:
    text = "spec: {initContainers: [{name: log, restartPolicy: Always, startupProbe: {tcpSocket: {port: 80}}}]}"
    outcome = mesh(make_pod(text))
    assert find(outcome, "log")["startupProbe"]["httpGet"]["path"] == "/app-health/log/startup"


def test_what_was_changed_since_survives_the_way_back() -> None:
    outcome = mesh(make({"tcpSocket": {"port": 80}, "periodSeconds": 5}))
    container = find(outcome, "web")
    container["name"] = "renamed"
    container["readinessProbe"]["periodSeconds"] = 6
    restored = uninject(outcome.after).after["spec"]["containers"][0]
    assert (restored["name"], restored["readinessProbe"]) == (
        "renamed",
        {"tcpSocket": {"port": 80}, "periodSeconds": 6},
    )
