"""GOSSAMER_PROBES: what the injector may give, and what is refused with a sentence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.probes import parse_probes
from proxy.errors import ConfigError
from proxy.net.probe import Grpc, HttpGet, Probe, TcpSocket


def parse(value: object) -> dict[str, Probe]:
    return parse_probes(json.dumps(value))


def of_web(probe: object) -> Probe:
    (found,) = parse({"web": {"liveness": probe}}).values()
    return found


def test_all_of_a_pod() -> None:
    probes = parse(
        {
            "web": {
                "liveness": {"httpGet": {"port": 8080}, "periodSeconds": 3, "failureThreshold": 2},
                "readiness": {"tcpSocket": {"port": 9000, "host": "10.0.0.9"}, "timeoutSeconds": 5},
            },
            "worker": {"startup": {"grpc": {"port": 50051, "service": "voting.v1"}}},
        }
    )
    assert probes == {
        "/app-health/web/liveness": Probe(HttpGet(8080), 1),
        "/app-health/web/readiness": Probe(TcpSocket(9000, "10.0.0.9"), 5),
        "/app-health/worker/startup": Probe(Grpc(50051, "voting.v1"), 1),
    }


def test_all_of_an_http_probe() -> None:
    probe = of_web(
        {
            "httpGet": {
                "scheme": "HTTPS",
                "host": "[::1]",
                "port": 8443,
                "path": "/healthz?full=1",
                "httpHeaders": [{"name": "X-Key", "value": "a b"}, {"name": "Accept", "value": ""}],
            }
        }
    )
    assert probe.target == HttpGet(8443, "/healthz?full=1", "::1", True, (("X-Key", "a b"), ("Accept", "")))


def test_what_kubernetes_leaves_null() -> None:
    assert of_web({"httpGet": {"port": 1, "httpHeaders": None, "host": None}, "grpc": None, "timeoutSeconds": None})


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([], "GOSSAMER_PROBES: it is no JSON object with containers"),
        ({"we b": {}}, "'we b' is no name of a container"),
        ({"web/x": {}}, "'web/x' is no name of a container"),
        ({"web": {"liveliness": {}}}, "web.liveliness: there is no such probe; there are liveness, readiness, startup"),
        ({"web": {"liveness": {"exec": {"command": ["ls"]}}}}, "web.liveness: it has not exactly one of httpGet"),
        ({"web": {"liveness": {"httpGet": {"port": 1}, "grpc": {"port": 1}}}}, "web.liveness: it has not exactly one"),
        ({"web": {"liveness": {"grpc": {"port": "http"}}}}, "web.liveness.grpc.port: it is no port"),
        ({"web": {"liveness": {"grpc": {"port": True}}}}, "web.liveness.grpc.port: it is no port"),
        ({"web": {"liveness": {"grpc": {"port": 1}, "timeoutSeconds": 0}}}, "web.liveness.timeoutSeconds: it is no"),
        ({"web": {"startup": {"httpGet": {"port": 1, "scheme": "FTP"}}}}, "httpGet.scheme: it is neither HTTP nor"),
        ({"web": {"startup": {"httpGet": {"port": 1, "path": "/\r\n"}}}}, "httpGet.path: it is no text of printable"),
        (
            {"web": {"startup": {"httpGet": {"port": 1, "httpHeaders": [{"name": "a:b"}]}}}},
            "web.startup.httpGet.httpHeaders: 'a:b' is no name of a header",
        ),
        ({f"c{number}": {"startup": {"grpc": {"port": 1}}} for number in range(101)}, "101 probes are more than 100"),
    ],
)
def test_what_is_refused(value: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(value)
    assert sentence in str(error.value)


@pytest.mark.parametrize("text", ["{", "", "[" * 100_000, "\x00"])
def test_no_json(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^GOSSAMER_PROBES is no JSON$"):
        parse_probes(text)


PLAIN = st.none() | st.booleans() | st.integers(-1, 70_000) | st.text(max_size=5)
TARGET = st.dictionaries(st.sampled_from(["port", "path", "host", "scheme", "service", "httpHeaders"]), PLAIN)
PROBE = st.dictionaries(st.sampled_from(["httpGet", "tcpSocket", "grpc", "timeoutSeconds"]), TARGET | PLAIN)


@given(st.dictionaries(st.sampled_from(["web", "db", "a b"]), st.dictionaries(st.just("liveness"), PROBE) | PLAIN))
def test_anything_is_read_or_refused_in_one_line(value: Any) -> None:
    problem, probes = "GOSSAMER_PROBES: ", {}
    try:
        probes = parse(value)
    except ConfigError as error:
        problem = str(error)
    assert problem.startswith("GOSSAMER_PROBES: ")
    assert "\n" not in problem
    assert all(1 <= probe.target.port <= 65_535 for probe in probes.values())
