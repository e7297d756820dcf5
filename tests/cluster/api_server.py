"""A Kubernetes API without nodes: etcd, kube-apiserver and kube-controller-manager on a loopback address of their own.

Pods can be created here but never run: `add_node` makes the node that their spec names, `set_pod_status` their address
and readiness, and the controllers turn that into endpoints. Each instance takes a random address out of 127.0.0.0/8, so
that several run at once on the usual ports, and a part that was killed gets its port back: one outside the ephemeral
range cannot be taken by a client meanwhile.
"""

from __future__ import annotations

import http.client
import itertools
import random
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from tests.cluster.authority import Authority
from tests.cluster.binaries import find_program, require_programs
from tests.cluster.client import Client, wait_until
from tests.cluster.part import Part
from tests.cluster.workspace import Workspace, remove_abandoned

ETCD, ETCD_PEERS, API, CONTROLLERS = 2379, 2380, 6443, 10257
SERVICES = "10.96.0.0/16"
NAMES = [f"kubernetes{tail}" for tail in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
# No kubelet reports for the nodes here, which must not count as lost after a while.
NO_HEARTBEATS = "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller"
ISSUER = "https://kubernetes.default.svc"


def choose_address() -> str:
    chance = random.SystemRandom()
    return f"127.{chance.randint(1, 254)}.{chance.randint(1, 254)}.{chance.randint(2, 254)}"


def etcd_flags(address: str, folder: Path) -> list[str]:
    clients, peers = f"http://{address}:{ETCD}", f"http://{address}:{ETCD_PEERS}"
    return [
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
    ]


def api_flags(address: str, pki: Path) -> list[str]:
    return [
        f"--etcd-servers=http://{address}:{ETCD}",
        f"--bind-address={address}",
        f"--secure-port={API}",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--authorization-mode=Node,RBAC",
        f"--service-account-issuer={ISSUER}",
        f"--service-account-key-file={pki / 'sa.key'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={pki / 'admin.crt'}",
        f"--kubelet-client-key={pki / 'admin.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        "--kubelet-preferred-address-types=InternalIP",  # the node's name is known to nobody
    ]


def controller_flags(address: str, pki: Path) -> list[str]:
    config = pki / "controller-manager.conf"
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        f"--bind-address={address}",
        f"--secure-port={CONTROLLERS}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        "--leader-elect=false",
        # Its 20 requests a second would make the start four seconds longer, and every large rollout slow.
        "--kube-api-qps=1000",
        "--kube-api-burst=1000",
    ]


class Place(NamedTuple):
    """Where the parts of a cluster run: their address, and what a command and a connection begin with to get there."""

    workspace: Workspace
    address: str
    enter: tuple[str, ...] = ()
    connection: type[http.client.HTTPSConnection] = http.client.HTTPSConnection

    @property
    def folder(self) -> Path:
        return self.workspace.folder

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    def make_part(self, program: str, *flags: str) -> Part:
        return Part(program, [*self.enter, find_program(program), *flags], self.workspace)


class ApiServer:
    """`with ApiServer() as api:`; its parts `etcd`, `server`, `controllers` may be ended, frozen and started."""

    def __init__(self, controllers: bool = True, place: Place | None = None) -> None:
        """Without `controllers` there are only etcd and kube-apiserver; without a node's `place` it is on loopback."""
        require_programs("etcd", "kube-apiserver", "setpriv", *(["kube-controller-manager"] if controllers else []))
        if place is None:
            remove_abandoned()
        self.place = place or Place(Workspace("api"), choose_address())
        self.address, self.has_controllers = self.place.address, controllers
        self.url = f"https://{self.address}:{API}"
        self.authority = Authority(self.place.pki, self.url)
        self.authority.issue("apiserver", "kube-apiserver", hosts=[self.address, "10.96.0.1", *NAMES])
        self.kubeconfig = self.authority.write_certificate_kubeconfig("admin", "admin", ["system:masters"])
        self.authority.write_certificate_kubeconfig("controller-manager", "system:kube-controller-manager")
        self.etcd, self.server, self.controllers = self._make_parts(has_node=place is not None)
        self.client = Client(self.kubeconfig, self.place.connection)
        self._numbers = itertools.count(1)

    def _make_parts(self, has_node: bool) -> tuple[Part, Part, Part]:
        place, pki = self.place, self.place.pki
        server_flags, flags = api_flags(self.address, pki), controller_flags(self.address, pki)
        if not has_node:
            # The kubernetes Service would need an address that is not loopback.
            server_flags.append("--endpoint-reconciler-type=none")
            flags.append(NO_HEARTBEATS)
        if not self.has_controllers:  # then nobody makes ServiceAccounts
            server_flags.append("--disable-admission-plugins=ServiceAccount")
        return (
            place.make_part("etcd", *etcd_flags(self.address, place.folder)),
            place.make_part("kube-apiserver", *server_flags),
            place.make_part("kube-controller-manager", *flags),
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start all parts, and return when the API server is ready and its default namespace complete."""
        self.etcd.start()
        self.server.start()
        self.wait_ready()
        if self.has_controllers:
            self.controllers.start()
            self._wait_account("default")

    def wait_ready(self) -> None:
        """Wait for the API server, for example after `server.start()`."""

        def is_ready() -> bool:
            self.etcd.check()
            self.server.check()
            return self.client.is_ready()

        wait_until(is_ready, f"the API server to be ready, see {self.server.log}")

    def stop(self) -> None:
        """End all parts and remove every trace; nothing of it is needed again, so none is asked to end."""
        for part in (self.controllers, self.server, self.etcd):
            part.end()
        self.client.close()
        self.place.workspace.close()

    def make_namespace(self, prefix: str = "test") -> str:
        """A new namespace, with its default ServiceAccount if there are controllers to make it."""
        name = f"{prefix}-{next(self._numbers)}"
        self.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        if self.has_controllers:
            self._wait_account(name)
        return name

    def _wait_account(self, namespace: str) -> None:
        wait_until(lambda: self.client.find("ServiceAccount", "default", namespace), f"{namespace}'s ServiceAccount")

    def add_node(self, name: str, zone: str = "") -> None:
        """A node that pods may name: without it they do not become endpoints."""
        labels = {"topology.kubernetes.io/zone": zone} if zone else {}
        self.client.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}})

    def set_pod_status(self, name: str, namespace: str, address: str, is_ready: bool = True) -> None:
        """Write what a kubelet would: the pod runs, has this address, and is ready or not."""
        ready = {"type": "Ready", "status": str(is_ready)}
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
        self.client.patch("Pod", name, {"status": status}, namespace, subresource="status")

    def write_user_kubeconfig(self, name: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for a user, who may do what RBAC says: nothing at first."""
        return self.authority.write_certificate_kubeconfig(f"user-{name}", name, groups)

    def write_account_kubeconfig(self, account: str, namespace: str) -> Path:
        """A kubeconfig with a ServiceAccount's token; it must exist."""
        token = self.client.issue_token(account, namespace)
        return self.authority.write_token_kubeconfig(f"account-{namespace}-{account}", token)

    def open_client(self, kubeconfig: Path) -> Client:
        """A client in the name of another."""
        return Client(kubeconfig, self.place.connection)

    def compact(self) -> str:
        """Make etcd forget all history: older resourceVersions get 410, watches too once `server` was started anew."""
        revision = str(self.client.request("GET", "/api/v1/namespaces?limit=1")["metadata"]["resourceVersion"])
        body = f'{{"revision": "{revision}", "physical": true}}'.encode()
        request = urllib.request.Request(f"http://{self.address}:{ETCD}/v3/kv/compaction", body)
        urllib.request.urlopen(request, timeout=30).close()
        return revision
