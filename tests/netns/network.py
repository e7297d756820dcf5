"""Pods as network namespaces: each with a link of its own to a node, which routes between them and is a namespace too.

As in a cluster whose pods are routed: each pod has one IPv4 and one IPv6 address, alone on its link, and every packet
passes the node, where Services are DNAT rules such as kube-proxy makes. Nothing is put into the machine's own
namespace. Each namespace lives as long as the process that holds it, and that one ends with the test run, however the
run ends.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Sequence
from typing import Self

from tests.cluster.netns import inside_network
from tests.e2e.processes import ROOT, Process, eventually
from tests.requirement import require

TIMEOUT_S = 30
GATEWAYS = {4: "10.77.0.1", 6: "fd77::1"}
APPLICATION = 1000  # the user and the group of what runs in a pod, if nothing else is said
PROGRAMS = ("unshare", "nsenter", "ip", "iptables", "ip6tables", "setpriv")

_libc = ctypes.CDLL(None, use_errno=True)


def require_namespaces() -> None:
    """Skip, or fail under CI, where pods cannot be made."""
    require(os.geteuid() == 0, "network namespaces need root: run the tests as root")
    for program in PROGRAMS:
        require(program, f"{program} is missing: apt-get install iproute2 iptables util-linux")
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    require(probe.returncode == 0, f"network namespaces cannot be made here: {probe.stderr.strip()}")


class Namespace:
    """One network namespace, held by a process that ends when its stdin does."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.pid = self._holder.pid
        eventually(lambda: os.stat(f"/proc/{self.pid}/ns/net") != os.stat("/proc/self/ns/net"), "a network namespace")
        self.configure("ip link set lo up")

    def configure(self, script: str) -> str:
        """Run shell lines inside as root, all of which must succeed; what they print."""
        return self.run(["sh", "-euc", script], check=True).stdout

    def run(self, argv: Sequence[str], *, check: bool = False, input: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program inside as root, to its end."""
        done = subprocess.run(
            [*self.enter(), *argv], input=input, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
        )
        assert not check or done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stderr}"
        return done

    def enter(self) -> tuple[str, ...]:
        """What a command begins with to run inside."""
        return ("nsenter", f"--target={self.pid}", "--net", "--")

    def start(self, argv: Sequence[str], uid: int = APPLICATION, gid: int = APPLICATION) -> Process:
        """Start a program inside as a user, who may yet read the checkout; end it with its `with` block."""
        user = (f"--reuid={uid}", f"--regid={gid}", "--clear-groups") if uid or gid else ()
        may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
        return Process([*self.enter(), "setpriv", "--pdeathsig=KILL", *user, *may_read, *argv])

    def open_socket(self, version: int, uid: int = APPLICATION, gid: int = APPLICATION) -> socket.socket:
        """A TCP socket of the pod that belongs to this user, as netfilter sees it, for this process to use."""
        with inside_network(self.pid):
            _libc.setfsgid(gid)
            _libc.setfsuid(uid)
            try:
                made = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6)
            finally:
                _libc.setfsuid(0)
                _libc.setfsgid(0)
        made.settimeout(TIMEOUT_S)
        return made

    def connect(self, address: tuple[str, int], uid: int = APPLICATION, gid: int = APPLICATION) -> socket.socket:
        made = self.open_socket(6 if ":" in address[0] else 4, uid, gid)
        try:
            made.connect(address)
        except BaseException:
            made.close()
            raise
        return made

    def listen(self, address: tuple[str, int], uid: int = APPLICATION, gid: int = APPLICATION) -> socket.socket:
        made = self.open_socket(6 if ":" in address[0] else 4, uid, gid)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen()
        except BaseException:
            made.close()
            raise
        return made

    def close(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(TIMEOUT_S)


class Pod(Namespace):
    """A pod: `addresses` by the version of IP."""

    def __init__(self, name: str, addresses: dict[int, str]) -> None:
        super().__init__()
        self.name = name
        self.addresses = addresses


class Network:
    """A node and its pods."""

    def __init__(self) -> None:
        self.node = Namespace()
        self.pods: list[Pod] = []
        self.node.configure(
            f"""
            # An address of its own: else it takes the lowest of its ports', and a pod that comes later may change it.
            ip link add node0 address 02:00:00:00:00:01 type bridge
            ip addr add {GATEWAYS[4]}/24 dev node0
            ip addr add {GATEWAYS[6]}/64 dev node0 nodad
            echo 0 > /proc/sys/net/ipv6/conf/node0/accept_dad
            ip link set node0 up
            echo 1 > /proc/sys/net/ipv4/ip_forward
            echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
            # The bridge is but a cable here: rules apply where the node routes, or a pod could not reach itself.
            for call in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $call ] || echo 0 > $call; done
            """
        )

    def add_pod(self, name: str, addresses: dict[int, str] | None = None) -> Pod:
        """A pod with addresses of the pods' network, or with those given: something outside of the cluster, say."""
        number = len(self.pods) + 2
        pod = Pod(name, addresses or {4: f"10.77.0.{number}", 6: f"fd77::{number:x}"})
        self.pods.append(pod)
        link = f"pod{number}"
        self.node.configure(f"ip link add {link} type veth peer name eth0 netns {pod.pid}")
        self.node.configure(f"ip link set {link} master node0 up")
        # No way but over the node, so that it sees, and translates, both directions of a connection to a Service.
        pod.configure(
            """
            for family in ipv4 ipv6; do echo 0 > /proc/sys/net/$family/conf/all/accept_redirects; done
            for setting in accept_redirects accept_dad; do echo 0 > /proc/sys/net/ipv6/conf/eth0/$setting; done
            ip link set eth0 up
            """
        )
        for version, address in pod.addresses.items():
            gateway, nodad = GATEWAYS[version], "nodad" if version == 6 else ""
            pod.configure(
                f"""
                ip addr add {address}/{32 if version == 4 else 128} dev eth0 {nodad}
                ip -{version} route add {gateway} dev eth0
                ip -{version} route add default via {gateway} dev eth0 src {address}
                """
            )
            self.node.configure(f"ip -{version} route replace {address} dev node0")
        return pod

    def add_service(self, addresses: dict[int, str], port: int, pods: Sequence[Pod], target_port: int) -> None:
        """A Service: one address per version of IP, each connection to one of the pods, drawn by chance."""
        for version, address in addresses.items():
            chain = f"SVC-{len(self.node_rules(version))}"
            lines = [f":{chain} - [0:0]", f"-A PREROUTING -d {address} -p tcp --dport {port} -j {chain}"]
            for left, pod in zip(range(len(pods), 0, -1), pods, strict=True):
                own = pod.addresses[version]
                target = f"{own}:{target_port}" if version == 4 else f"[{own}]:{target_port}"
                chance = f"-m statistic --mode random --probability {1 / left:.6f}"
                lines.append(f"-A {chain} -p tcp {chance} -j DNAT --to-destination {target}")
                # A pod that reaches itself by a Service must not see itself as the peer: it would answer past the node.
                lines.append(f"-A POSTROUTING -s {own} -d {own} -j MASQUERADE")
            program = "iptables-restore" if version == 4 else "ip6tables-restore"
            self.node.run([program, "--noflush"], check=True, input="\n".join(["*nat", *lines, "COMMIT", ""]))

    def node_rules(self, version: int) -> list[str]:
        return self.node.configure(f"{'iptables' if version == 4 else 'ip6tables'}-save -t nat").splitlines()

    def close(self) -> None:
        for namespace in (*self.pods, self.node):
            namespace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
