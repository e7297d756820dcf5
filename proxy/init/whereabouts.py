"""In whose network namespace `mesh proxy init` runs, as far as Kubernetes says so.

Rules in the node's own would lead the kubelet's and every other program's connections to a sidecar, and nobody would
take them away with the pod. The injector leaves such pods alone, but `hostNetwork` may be set after it has looked.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.init.fault import RulesError

POD_IP, HOST_IP = "GOSSAMER_POD_IP", "GOSSAMER_HOST_IP"


def check_network(environment: Mapping[str, str]) -> None:
    """Both addresses come by the downward API; without them nothing is known, as outside of Kubernetes."""
    pod_ip, host_ip = environment.get(POD_IP, ""), environment.get(HOST_IP, "")
    if pod_ip and pod_ip == host_ip:
        raise RulesError(
            f"this is the node's own network ({ascii(pod_ip)[1:-1]} is the address of the pod and of its node), where "
            "rules would lead all of the node's connections away: take hostNetwork out of the pod, or the sidecar "
            "(mesh uninject)"
        )
