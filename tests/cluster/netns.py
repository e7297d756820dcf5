"""The namespaces of a node: a network with no way out, and mounts that hide the machine's /run, /var/lib and /var/log.

A process holds them; when the last process in them has ended, all links, rules and mounts are gone with them. Nothing
of the node can reach the machine's network or leave files in its folders. Names resolve as in namespace default.
"""

from __future__ import annotations

import ctypes
import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cluster.client import wait_until
from tests.cluster.part import Part
from tests.cluster.workspace import Workspace

ADDRESS, DNS = "10.88.0.1", "10.96.0.10"
CLONE_NEWNET = 0x40000000
# The node's address is on a bridge, since not every kernel has dummy links. Without the default route a Service's
# address would be unreachable before kube-proxy's rules see the packet.
SETUP = f"""
set -eu
ip link set lo up
ip link add node0 type bridge
ip addr add {ADDRESS}/24 dev node0
ip link set node0 up
ip route add default dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward
if [ -e /proc/sys/net/bridge ]; then echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables; fi
for hidden in /run /var/lib /var/log; do mount -t tmpfs gossamer $hidden; done
resolv=$(readlink -m /etc/resolv.conf)
mkdir -p "$(dirname "$resolv")"
[ -e "$resolv" ] || touch "$resolv"
mount --bind "$1/resolv.conf" "$resolv"
touch "$1/entered"
exec sleep infinity
"""
RESOLV = f"nameserver {DNS}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"

_libc = ctypes.CDLL(None, use_errno=True)


def hold_namespaces(workspace: Workspace) -> Part:
    """Start the process that holds the namespaces, and return when they are set up."""
    (workspace.folder / "resolv.conf").write_text(RESOLV)
    holder = Part(
        "namespaces", ["unshare", "--net", "--mount", "sh", "-c", SETUP, "setup", str(workspace.folder)], workspace
    )
    holder.start()

    def is_set_up() -> bool:
        holder.check()
        return (workspace.folder / "entered").exists()

    wait_until(is_set_up, "the network namespace")
    return holder


def enter_command(pid: int) -> tuple[str, ...]:
    """What a command begins with to run in the namespaces that a process holds."""
    return ("nsenter", f"--target={pid}", "--net", "--mount", "--")


def set_network(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "the network namespace cannot be entered")


@contextmanager
def inside_network(pid: int) -> Iterator[None]:
    """Sockets that this thread makes within belong to the network of the process, and stay there."""
    with open("/proc/thread-self/ns/net") as ours, open(f"/proc/{pid}/ns/net") as theirs:
        set_network(theirs.fileno())
        try:
            yield
        finally:
            set_network(ours.fileno())


def connection_class(pid: int) -> type[http.client.HTTPSConnection]:
    """HTTPS connections that begin in the network of the process."""

    class InsideConnection(http.client.HTTPSConnection):
        def connect(self) -> None:
            with inside_network(pid):
                super().connect()

    return InsideConnection


def open_socket(pid: int, kind: socket.SocketKind, address: tuple[str, int]) -> socket.socket:
    """A socket that is connected from inside the network."""
    with inside_network(pid):
        made = socket.socket(socket.AF_INET, kind)
        made.settimeout(30)
        try:
            made.connect(address)
        except BaseException:
            made.close()
            raise
    return made
