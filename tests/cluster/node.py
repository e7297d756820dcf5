"""A whole one-node Kubernetes: an API server, a kubelet with containerd, kube-proxy, a scheduler and CoreDNS.

All of it runs in namespaces of its own (netns.py), so that several can run at once. Real pods behind real Services
serve there; who wants to reach them runs inside too: `command`, `run`, `start_inside`. Images come from folders, not
from a registry.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.cluster import configuration
from tests.cluster.api_server import SERVICES, ApiServer, Place
from tests.cluster.binaries import find_program, require_programs, search_path
from tests.cluster.client import wait_until
from tests.cluster.configuration import BACKEND, NODE, PAUSE, PODS, ZONE
from tests.cluster.image import pack_image
from tests.cluster.netns import ADDRESS, DNS, connection_class, enter_command, hold_namespaces, open_socket
from tests.cluster.part import Part
from tests.cluster.workspace import Workspace, remove_abandoned
from tests.requirement import require

BUILT = ("kube-scheduler", "kubelet", "kube-proxy", "coredns", "kubectl", "backend")
PACKAGED = ("containerd", "ctr", "runc", "iptables", "ip", "nsenter", "unshare")
PLUGINS = ("/usr/lib/cni", "/opt/cni/bin")
MANIFESTS = Path(__file__).parent / "manifests"


def require_node() -> str:
    """Skip without what a node needs; returns where the CNI plugins are."""
    require(os.geteuid() == 0, "a node needs root")
    require_programs(*BUILT, *PACKAGED)
    plugins = [folder for folder in PLUGINS if (Path(folder) / "bridge").exists()]
    require(plugins, "the CNI plugins are missing: apt-get install containernetworking-plugins")
    return plugins[0]


class Node:
    """`with Node() as node:`; `client` and `kubeconfig` are the admin's. Its parts may be ended, frozen and started."""

    def __init__(self, is_kept: bool = False) -> None:
        plugins = require_node()
        remove_abandoned()
        self.workspace = Workspace("node", is_kept)
        self.folder = self.workspace.folder
        self.namespaces = hold_namespaces(self.workspace)
        pid = self.namespaces.pid
        self.place = Place(self.workspace, ADDRESS, enter_command(pid), connection_class(pid))
        self.api = ApiServer(place=self.place)
        self.client, self.kubeconfig = self.api.client, self.api.kubeconfig
        self._configure(plugins)
        make = self.place.make_part
        self.containerd = make("containerd", f"--config={self.folder / 'containerd.toml'}")
        self.kubelet = make("kubelet", *self._kubelet_flags())
        scheduler = self._issue("scheduler", "system:kube-scheduler")
        flags = [f"--authentication-kubeconfig={scheduler}", f"--authorization-kubeconfig={scheduler}"]
        self.scheduler = make("kube-scheduler", f"--kubeconfig={scheduler}", *flags, "--leader-elect=false")
        self.proxy = make("kube-proxy", *self._proxy_flags())
        self.coredns = make("coredns", f"-conf={self.folder / 'Corefile'}")
        self._environment = {"KUBECONFIG": str(self.kubeconfig), "PATH": search_path()}

    def _issue(self, file: str, name: str, groups: Sequence[str] = ()) -> Path:
        return self.api.authority.write_certificate_kubeconfig(file, name, groups)

    def _configure(self, plugins: str) -> None:
        folder = self.folder
        (folder / "cni").mkdir()
        (folder / "cni" / "10-pods.conflist").write_text(configuration.pod_network(folder))
        (folder / "containerd.toml").write_text(configuration.containerd(folder, plugins))
        (folder / "kubelet.yaml").write_text(configuration.kubelet(folder))
        (folder / "Corefile").write_text(configuration.coredns(self.kubeconfig))

    def _kubelet_flags(self) -> list[str]:
        kubeconfig = self._issue("node", f"system:node:{NODE}", ["system:nodes"])
        self.api.authority.issue("kubelet", f"system:node:{NODE}", ["system:nodes"], [ADDRESS, NODE])
        return [
            f"--config={self.folder / 'kubelet.yaml'}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
            f"--node-labels=topology.kubernetes.io/zone={ZONE}",
            f"--root-dir={self.folder / 'kubelet'}",
            f"--cert-dir={self.folder / 'kubelet' / 'pki'}",
        ]

    def _proxy_flags(self) -> list[str]:
        return [
            f"--kubeconfig={self._issue('proxy', 'system:kube-proxy')}",
            f"--hostname-override={NODE}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={PODS}",
            "--conntrack-max-per-core=0",  # the limit is the machine's
            "--iptables-min-sync-period=100ms",
        ]

    @property
    def parts(self) -> tuple[Part, ...]:
        own = (self.kubelet, self.proxy, self.coredns, self.scheduler, self.containerd)
        return (*own, self.api.controllers, self.api.server, self.api.etcd, self.namespaces)

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
        """Start all parts; return when the node is ready, has its images, and Services and names resolve."""
        self.containerd.start()
        self.api.start()
        for part in (self.scheduler, self.proxy, self.coredns):
            part.start()
        wait_until(lambda: self._run_ctr("version").returncode == 0, f"containerd, see {self.containerd.log}")
        backend = {"backend": Path(find_program("backend"))}
        self.load_image(PAUSE, backend, ["/backend", "pause"])
        self.load_image(BACKEND, backend, ["/backend"])
        self.kubelet.start()
        self.client.apply(configuration.DNS_SERVICE)
        wait_until(self._is_ready, f"the node to be ready, see {self.kubelet.log}")
        wait_until(self._resolves_names, f"cluster DNS, see {self.coredns.log} and {self.proxy.log}")

    def _is_ready(self) -> bool:
        for part in self.parts:
            part.check()
        node = self.client.find("Node", NODE)
        conditions = node["status"].get("conditions", []) if node else []
        return any(found["type"] == "Ready" and found["status"] == "True" for found in conditions)

    def _resolves_names(self) -> bool:
        """Whether the cluster's DNS service, by its address, knows the API's."""
        labels = b"".join(bytes([len(label)]) + label for label in b"kubernetes.default.svc.cluster.local".split(b"."))
        query = struct.pack(">6H", 1, 0x100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, 1, 1)
        with self.open_socket(DNS, 53, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.5)
            try:
                asking.send(query)
                return asking.recv(512).endswith(socket.inet_aton(SERVICES.partition("/")[0])[:3] + b"\1")
            except OSError:
                return False

    def stop(self) -> None:
        """End everything, pods included, and remove every trace."""
        for part in self.parts:
            part.end()
        self.client.close()
        self.workspace.close()

    # Inside

    def command(self, *command: str | Path) -> list[str]:
        """The command as it runs inside: in the node's network, with its names, in the present directory."""
        return [*self.place.enter, "env", f"--chdir={Path.cwd()}", *map(str, command)]

    @property
    def environment(self) -> dict[str, str]:
        """What a process inside has in its environment: this one's, and KUBECONFIG."""
        return os.environ | self._environment

    def run(self, *command: str | Path, timeout_s: float = 60, text: str | None = None) -> str:
        """Run a program inside, with `text` as its input, and return its output; an error tells what it said."""
        done = subprocess.run(
            self.command(*command), env=self.environment, input=text, capture_output=True, text=True, timeout=timeout_s
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def start_inside(self, name: str, *command: str | Path, **environment: str) -> Part:
        """Start a program inside that writes NAME.log; it ends with the node, if it was not ended before."""
        part = Part(name, self.command(*command), self.workspace, self._environment | environment)
        part.start()
        return part

    def kubectl(self, *arguments: str | Path, text: str | None = None) -> str:
        return self.run("kubectl", *arguments, text=text)

    def open_socket(self, host: str, port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """A socket of this process that is connected from inside."""
        return open_socket(self.namespaces.pid, kind, (host, port))

    # Pods

    def _run_ctr(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = ["ctr", f"--address={self.folder / 'containerd.sock'}", "--namespace=k8s.io", *map(str, arguments)]
        return subprocess.run(self.command(*command), capture_output=True, text=True, timeout=60)

    def load_image(self, name: str, files: Mapping[str, Path], command: Sequence[str]) -> None:
        """Make an image of these files (path inside: file or folder) for pods with `imagePullPolicy: Never`."""
        archive = self.folder / "image.tar"
        pack_image(archive, name, files, command)
        self.import_archive(archive)
        archive.unlink()

    def import_archive(self, archive: Path) -> None:
        """Load the images of an archive, as `docker save` and buildah write them."""
        done = self._run_ctr("image", "import", archive)
        if done.returncode != 0:
            raise RuntimeError(f"{archive} could not be imported: {done.stderr.strip()}")

    def wait_rollout(self, name: str, namespace: str, kind: str = "Deployment", within_s: float = 60.0) -> None:
        """Wait until all replicas are of the newest template and available; old pods may still be ending."""

        def is_complete() -> bool:
            found = self.client.get(kind, name, namespace)
            wanted, status = found["spec"]["replicas"], found["status"]
            counts = [status.get(count, 0) for count in ("replicas", "updatedReplicas", "availableReplicas")]
            return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [wanted] * 3

        try:
            wait_until(is_complete, f"the rollout of {name}", within_s)
        except TimeoutError as error:
            error.add_note(self.kubectl("describe", "pods", "--namespace", namespace))
            raise
