"""Servers that speak first, and others that are not HTTP: what is known of them, and from whom, shortens the wait.

A pod `db` runs Redis, and the application whose SMTP server greets first. Its Services say what they speak in each of
the ways there are; who says nothing is found out. Programs are the real ones, and know nothing.
"""

from __future__ import annotations

import json
import ssl
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.processes import eventually
from tests.e2e.transparent.app import ECHO, HTTP, MAIL, TLS
from tests.e2e.transparent.scene import Meshed, Scene, ask, make_pod, run
from tests.netns.network import Pod
from tests.requirement import require

REDIS = 6379
SAYING, SILENT, MARKED = "10.96.0.20", "10.96.0.21", "10.96.0.22"
ANNOTATION = "config.gossamer.mesh/opaque-ports"
# Of each Service: its port, what it says of it, and the pod's port.
PORTS: dict[str, list[tuple[int, str, int]]] = {
    "saying": [
        (7025, "smtp", MAIL),
        (7026, "", MAIL),
        (7379, "redis", REDIS),
        (80, "http", HTTP),
        (443, "https", TLS),
        (587, "", HTTP),
    ],
    "silent": [
        (587, "", MAIL),
        (7027, "", MAIL),
        (REDIS, "", REDIS),
        (7380, "", REDIS),
        (7000, "", ECHO),
        (3306, "http", HTTP),
    ],
    "headless": [(MAIL, "tcp", MAIL)],
    "marked": [(7100, "", ECHO)],
}


@pytest.fixture(scope="module")
def db(scene: Scene) -> Iterator[Meshed]:
    require("redis-server", "redis-server is missing: apt-get install redis-server")
    require("redis-cli", "redis-cli is missing: apt-get install redis-tools")
    pod = scene.network.add_pod("db")
    options = {"port": REDIS, "bind": "0.0.0.0", "protected-mode": "no", "save": "", "loglevel": "warning"}
    options |= {"dir": "/tmp", "logfile": ""}
    command = ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", str(value)))]
    documents = [make_pod(pod), make_marked(scene.outside)]
    for name, address in (("saying", SAYING), ("silent", SILENT), ("headless", "None")):
        documents += make_service(name, address, pod)
    documents += make_service("marked", MARKED, scene.outside)
    draft = scene.folder / "draft"
    draft.write_text("\n---\n".join(map(json.dumps, documents)))
    draft.rename(scene.folder / "db.yaml")
    with pod.start(command):
        scene.add_sidecar(pod, scene.start_application(pod), f"GOSSAMER_OPAQUE_PORTS={MAIL},{ECHO}")
        made = scene.meshed["db"]
        eventually(made.is_ready, "the sidecar of db")
        eventually(lambda: "echo" in talk(scene, SILENT, 7000), "the control plane to know the Services")
        yield made


def make_marked(pod: Pod) -> dict[str, Any]:
    """A pod whose own annotation says what is opaque; by IPv6 it is a stranger."""
    made = make_pod(pod)
    made["metadata"]["annotations"] = {ANNOTATION: f"25,{ECHO}-{ECHO + 1}"}
    made["status"]["podIPs"] = [{"ip": pod.addresses[4]}]
    return made


def make_service(name: str, cluster_ip: str, pod: Pod) -> list[dict[str, Any]]:
    """And its slice."""
    metadata: dict[str, Any] = {"namespace": "shop", "name": name}
    ports = [{"name": f"p-{port}", "port": port, "appProtocol": said or None} for port, said, _ in PORTS[name]]
    spec = {"clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "ipFamilies": ["IPv4"], "ports": ports}
    annotations = {ANNOTATION: "7026,7100-7110"} if name == "saying" else {}
    target = {"kind": "Pod", "namespace": "shop", "name": pod.name, "uid": f"uid-{pod.name}"}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata | {"annotations": annotations}, "spec": spec},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "ports": [{"name": f"p-{port}", "port": number} for port, _, number in PORTS[name]],
            "endpoints": [{"addresses": [pod.addresses[4]], "targetRef": target}],
        },
    ]


def talk(scene: Scene, host: str, port: int) -> str:
    """Raw bytes to the application that echoes."""
    try:
        with scene.client.connect((host, port)) as sock:
            sock.sendall(b"\0echo")
            return sock.recv(100).decode()
    except OSError:
        return ""


def send_mail(scene: Scene, host: str, port: int) -> None:
    program = """
import smtplib, sys
with smtplib.SMTP(sys.argv[1], int(sys.argv[2]), timeout=30) as client:
    client.sendmail("me@shop", ["you@shop"], "Subject: hello")
    print("sent")
"""
    done = run(scene.client, [sys.executable, "-c", program, host, str(port)])
    assert done.stdout == "sent\n", done.stderr


def detections(meshed: Meshed) -> dict[tuple[str, str, str], float]:
    """By direction, protocol and reason."""
    return {
        (labels["direction"], labels["protocol"], labels["reason"]): value
        for labels, value in series(meshed, "gossamer_detections_total")
    }


def series(meshed: Meshed, name: str) -> list[tuple[dict[str, str], float]]:
    families = text_string_to_metric_families(meshed.admin("/metrics")[1])
    return [(item.labels, item.value) for family in families for item in family.samples if item.name == name]


def news(before: dict[tuple[str, str, str], float], meshed: Meshed, direction: str) -> dict[tuple[str, str], float]:
    """What was decided since then, of a direction: by protocol and reason."""
    now = detections(meshed)
    changed = {key: now[key] - before.get(key, 0) for key in now if now[key] != before.get(key, 0)}
    return {key[1:]: count for key, count in changed.items() if key[0] == direction}


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        pytest.param(SAYING, 7025, "known", id="appProtocol"),
        pytest.param(SAYING, 7026, "known", id="annotation"),
        pytest.param(SILENT, 587, "port", id="default-port"),
        pytest.param("db", MAIL, "known", id="pod-by-its-ip"),
    ],
)
def test_mail_without_a_wait_where_something_is_said(
    scene: Scene, db: Meshed, host: str, port: int, reason: str
) -> None:
    client = scene.meshed["client"]
    before, before_there = detections(client), detections(db)
    send_mail(scene, db.pod.addresses[4] if host == "db" else host, port)
    assert news(before, client, "outbound") == {("opaque", reason): 1}
    assert news(before_there, db, "inbound") == {("opaque", "port"): 1}


def test_mail_where_nobody_says_anything(scene: Scene, db: Meshed) -> None:
    """Silence decides, and what it taught decides sooner the next time."""
    client = scene.meshed["client"]
    for reason in ("silence", "hint"):
        before = detections(client)
        send_mail(scene, SILENT, 7027)
        assert news(before, client, "outbound") == {("opaque", reason): 1}


@pytest.mark.parametrize(("host", "port", "reason"), [(SAYING, 7379, "known"), (SILENT, REDIS, "port")])
def test_redis(scene: Scene, db: Meshed, host: str, port: int, reason: str) -> None:
    ask_redis(scene, host, port, ("opaque", reason))


def test_redis_where_nobody_says_anything(scene: Scene, db: Meshed) -> None:
    """Its client speaks first, and what it says is not HTTP; to the pod, too, whose list leaves the port out."""
    before = detections(db)
    ask_redis(scene, SILENT, 7380, ("opaque", "bytes"))
    assert set(news(before, db, "inbound")) == {("opaque", "bytes")}


def ask_redis(scene: Scene, host: str, port: int, expected: tuple[str, str]) -> None:
    before = detections(scene.meshed["client"])
    command = ["redis-cli", "-h", host, "-p", str(port)]
    assert run(scene.client, [*command, "SET", f"key-{port}", "value"]).stdout == "OK\n"
    assert run(scene.client, [*command, "GET", f"key-{port}"]).stdout == "value\n"
    assert news(before, scene.meshed["client"], "outbound") == {expected: 2}


def test_a_port_that_a_pod_lists_is_opaque_by_the_pod_s_address_and_by_its_service_s(scene: Scene, db: Meshed) -> None:
    for host, port in ((scene.outside.addresses[4], ECHO), (MARKED, 7100)):
        before = detections(scene.meshed["client"])
        assert talk(scene, host, port) == "\0echo"
        assert news(before, scene.meshed["client"], "outbound") == {("opaque", "known"): 1}


@pytest.mark.parametrize(("service", "host", "port"), [("saying", SAYING, 80), ("silent", SILENT, 3306)])
def test_a_port_of_http_never_goes_opaque_by_silence(
    scene: Scene, db: Meshed, service: str, host: str, port: int
) -> None:
    """Nor by its number. Its client may take its time, and is served as what it then speaks."""
    client = scene.meshed["client"]
    before = detections(client)
    with scene.client.connect((host, port)) as sock:
        sock.settimeout(2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        sock.settimeout(20)
        sock.sendall(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
    assert news(before, client, "outbound") == {("http1", "bytes"): 1}
    name = f"{service}.shop.svc.cluster.local:{port}"
    assert any(labels.get("dst_service") == name for labels, _ in series(client, "request_total"))
    assert not any(labels.get("dst_service") == name for labels, _ in series(client, "tcp_open_total"))


def test_a_list_that_leaves_a_default_port_out_has_it_looked_at(scene: Scene, db: Meshed) -> None:
    before = detections(scene.meshed["client"])
    assert ask(scene.client, SAYING, 587)[1] == "db"
    assert news(before, scene.meshed["client"], "outbound") == {("http1", "bytes"): 1}


def test_raw_connections_are_counted_by_whom_they_reach(scene: Scene, db: Meshed) -> None:
    send_mail(scene, SAYING, 7025)
    where = {"direction": "outbound", "peer": "dst", "target_addr": f"{db.pod.addresses[4]}:{MAIL}", "tls": "disabled"}
    who = {"dst_service": "saying.shop.svc.cluster.local:7025", "dst_namespace": "shop", "dst_pod": "db"}
    for name in ("tcp_open_total", "tcp_read_bytes_total", "tcp_write_bytes_total"):
        assert of(scene.meshed["client"], name, {**where, **who}) > 0
        there = {**where, "direction": "inbound"}
        assert of(db, name, there) > 0
    assert of(scene.meshed["client"], "tcp_open_connections", {**where, **who}) == 0


def test_tls_is_counted_by_the_name_that_it_asks_for(scene: Scene, db: Meshed) -> None:
    trusting = ssl.create_default_context(cafile=str(scene.certificate))
    for host, port in ((SAYING, 443), (scene.outside.addresses[6], TLS)):
        with trusting.wrap_socket(scene.client.connect((host, port)), server_hostname="web") as sock:
            sock.sendall(b"hello")
            assert sock.recv(100) == b"hello"
    passed_on = {"tls": "opaque", "sni": "web", "peer": "dst"}
    ours = {"dst_service": "saying.shop.svc.cluster.local:443", "dst_pod": "db", "direction": "outbound"}
    assert of(scene.meshed["client"], "tcp_open_total", passed_on | ours) == 1
    outside = {"target_addr": f"[{scene.outside.addresses[6]}]:{TLS}", "direction": "outbound"}
    assert of(scene.meshed["client"], "tcp_open_total", passed_on | outside) == 1
    inbound = {"target_addr": f"{db.pod.addresses[4]}:{TLS}", "direction": "inbound"}
    assert of(db, "tcp_open_total", passed_on | inbound) == 1


def of(meshed: Meshed, name: str, labels: dict[str, str]) -> float:
    """The sum of the series with these labels, of which there must be one."""
    found = [value for own, value in series(meshed, name) if labels.items() <= own.items()]
    assert found, (name, labels)
    return sum(found)
