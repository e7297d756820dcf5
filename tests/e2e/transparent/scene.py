"""A mesh of pods as network namespaces, with the real rules, sidecars and control plane; the applications know nothing.

Pods `one`, `two` (meshed, the Service `web` with a cluster address, and the headless `db`), `client` (meshed), and
`outside`, which the control plane has never heard of. The control plane runs on the node, over a directory.
"""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesh.contract import ADMIN_PORT, PROXY_UID
from tests.e2e import controlplane_process, proxy_process
from tests.e2e.processes import HOST, Process, eventually
from tests.e2e.transparent import app
from tests.netns.network import GATEWAYS, Network, Pod

WEB = {4: "10.96.0.10", 6: "fd96::10"}
PORTS = {"http": app.HTTP, "grpc": app.GRPC, "echo": app.ECHO, "tls": app.TLS, "mail": app.MAIL}
MESH = [sys.executable, "-c", controlplane_process.PROGRAM]


class Meshed:
    """A pod with its application and its sidecar."""

    def __init__(self, pod: Pod, sidecar: Process, application: Process | None) -> None:
        self.pod, self.sidecar, self.application = pod, sidecar, application

    def admin(self, path: str, method: str = "GET") -> tuple[int, str]:
        return ask(self.pod, HOST, ADMIN_PORT, path, method=method)[:2]

    def metric(self, line_start: str) -> float:
        lines = self.admin("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(line_start))

    def is_ready(self) -> bool:
        assert self.sidecar.running(), self.sidecar.stderr
        try:
            return self.admin("/ready")[0] == 200
        except OSError:
            return False


class Scene:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()
        self.network = self.stack.enter_context(Network())
        self.meshed: dict[str, Meshed] = {}

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        for one in self.meshed.values():
            for process in (one.application, one.sidecar):
                if process is not None and process.running():
                    process.signal(signal.SIGTERM)
        try:
            for one in self.meshed.values():
                assert one.sidecar.wait() == 0, one.sidecar.stderr
                self.check(one.sidecar)
        finally:
            self.stack.close()

    def _build(self) -> None:
        pods = {name: self.network.add_pod(name) for name in ("one", "two", "client")}
        self.outside = self.network.add_pod("outside", {4: "192.0.2.10", 6: "2001:db8::10"})
        self.certificate, self.key = write_certificate(self.folder)
        self.write_manifests([pods["one"], pods["two"]])
        for port in PORTS.values():
            self.network.add_service(WEB, port, [pods["one"], pods["two"]], port)
        where = ["--xds", f"{GATEWAYS[4]}:4150", "--admin", f"{HOST}:4192"]
        plane = [*MESH, "controlplane", "--source", f"files:{self.folder}", *where]
        self.plane = self.stack.enter_context(self.network.node.start(plane, 0, 0))
        self.start_application(self.outside)
        for name, pod in pods.items():
            self.add_sidecar(pod, None if name == "client" else self.start_application(pod))
        for one in self.meshed.values():
            eventually(one.is_ready, f"the sidecar of {one.pod.name}")
        self.client = self.meshed["client"].pod

    def start_application(self, pod: Pod) -> Process:
        files = [str(self.certificate), str(self.key)]
        application = pod.start([sys.executable, "-m", "tests.e2e.transparent.app", pod.name, *files])
        self.stack.enter_context(application)
        assert application.read_line() == "serving", application.stderr
        return application

    def add_sidecar(self, pod: Pod, application: Process | None, *variables: str) -> None:
        """What the injector makes of a pod: rules first, then the sidecar as its own user, with these NAME=VALUE."""
        pod.run([*MESH, "proxy", "init"], check=True)
        place = ["--control-plane", f"{GATEWAYS[4]}:4150", "--namespace", "shop", "--admin", f"{HOST}:{ADMIN_PORT}"]
        command = ["env", "GOSSAMER_DRAIN_DELAY=1s", *variables, *proxy_process.command(), "--intercept", *place]
        sidecar = pod.start(command, PROXY_UID, PROXY_UID)
        self.stack.enter_context(sidecar)
        self.meshed[pod.name] = Meshed(pod, sidecar, application)

    def check(self, sidecar: Process) -> None:
        for sign in (*proxy_process.ESCAPED, "bug:"):
            assert sign not in sidecar.stderr, sidecar.stderr

    def write_manifests(self, pods: list[Pod]) -> None:
        """All in one file, put in place at once."""
        documents: list[dict[str, Any]] = [make_service("web", list(WEB.values())), make_service("db", ["None"])]
        for pod in pods:
            documents.append(make_pod(pod))
            documents += [make_slice(name, pod, version) for name in ("web", "db") for version in (4, 6)]
        draft = self.folder / "draft"
        draft.write_text("\n---\n".join(map(json.dumps, documents)))
        draft.rename(self.folder / "mesh.yaml")


def make_service(name: str, addresses: list[str]) -> dict[str, Any]:
    ports = [{"name": f"p-{port}", "port": port} for port in PORTS.values()]
    spec = {"clusterIP": addresses[0], "clusterIPs": addresses, "ipFamilies": ["IPv4", "IPv6"], "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": name}, "spec": spec}


def make_pod(pod: Pod) -> dict[str, Any]:
    status = {"phase": "Running", "podIPs": [{"ip": address} for address in pod.addresses.values()]}
    metadata = {"namespace": "shop", "name": pod.name, "uid": f"uid-{pod.name}"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}


def make_slice(service: str, pod: Pod, version: int) -> dict[str, Any]:
    target = {"kind": "Pod", "namespace": "shop", "name": pod.name, "uid": f"uid-{pod.name}"}
    labels = {"kubernetes.io/service-name": service}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": f"{service}-{pod.name}-{version}", "labels": labels},
        "addressType": f"IPv{version}",
        "ports": [{"name": f"p-{port}", "port": port} for port in PORTS.values()],
        "endpoints": [{"addresses": [pod.addresses[version]], "conditions": {"ready": True}, "targetRef": target}],
    }


def ask(
    pod: Pod, host: str, port: int, path: str = "/", *, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    """One HTTP/1 request from inside a pod: status, body, headers in lower case."""
    connection = http.client.HTTPConnection(host, port)
    connection.sock = pod.connect((host, port))
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read().decode(), found
    finally:
        connection.close()


def call(pod: Pod, target: str, count: int = 1, authority: str = "") -> list[str]:
    """Unary gRPC calls by the real client, from inside a pod: who answered each."""
    done = run(pod, [sys.executable, "-m", "tests.e2e.transparent.calls", target, str(count), authority])
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def run(pod: Pod, argv: list[str]) -> subprocess.CompletedProcess[str]:
    """A program of the application's user in a pod, to its end."""
    with pod.start(argv) as process:
        code = process.wait(60)
        assert process.popen.stdout is not None
        return subprocess.CompletedProcess(argv, code, process.popen.stdout.read().decode(), process.stderr)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Of `web`, signed by itself: who trusts it trusts nobody in between."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("web")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "web.crt", folder / "web.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return certificate, private
