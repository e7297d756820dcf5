"""A kubelet's probes, performed from within the pod: `perform` one, and hear what came of it.

They exist because a connection through the proxy always opens, and TLS between pods would refuse the kubelet: so the
admin port is asked instead, and asks the application itself, past the interception.
"""

from proxy.net.probe.model import Grpc, HttpGet, Probe, TcpSocket, Verdict
from proxy.net.probe.perform import perform

__all__ = ["Grpc", "HttpGet", "Probe", "TcpSocket", "Verdict", "perform"]
