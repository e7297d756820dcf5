"""The configuration files of a node's parts, as text. Why each odd setting: the comments beside it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.netns import ADDRESS, DNS

NODE, ZONE, DOMAIN = "gossamer-node", "zone-1", "cluster.local"
PODS = "10.244.0.0/16"
PAUSE, BACKEND = "gossamer.local/pause:1", "gossamer.local/backend:1"
DNS_PORT = 5300


def containerd(folder: Path, plugins: str) -> str:
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE runc may not lower it, and every sandbox would fail.
    return f"""
version = 2
root = "{folder}/containerd"
state = "{folder}/run/containerd"
[grpc]
  address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{folder}/cni"
"""


def pod_network(folder: Path) -> str:
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": f"{folder}/run/ipam",
            "ranges": [[{"subnet": PODS}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "gossamer", "plugins": [bridge, ports]})


def kubelet(folder: Path) -> str:
    pki = folder / "pki"
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        # No cgroups for classes of pods and for the node itself: they would be the machine's.
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "clusterDNS": [DNS],
        "clusterDomain": DOMAIN,
        "resolvConf": str(folder / "resolv.conf"),
        "podLogsDir": str(folder / "pods"),
        "localStorageCapacityIsolation": False,
        # The disk is the machine's: how full it is must not cost pods, nor images, which nobody could pull again.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "nodeStatusReportFrequency": "10s",
    }
    return json.dumps(settings, indent=1)  # JSON is YAML


def coredns(kubeconfig: Path) -> str:
    """Answers for the cluster's domain; every other name does not exist."""
    return f"""
{DOMAIN}:{DNS_PORT} in-addr.arpa:{DNS_PORT} {{
    bind {ADDRESS}
    kubernetes {DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig} gossamer
        ttl 1
    }}
    errors
}}
.:{DNS_PORT} {{
    bind {ADDRESS}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


# CoreDNS runs on the node itself, and stands behind kube-dns' address through a Service without a selector.
DNS_SERVICE = f"""
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system}}
spec:
  clusterIP: {DNS}
  ports:
  - {{name: dns, port: 53, targetPort: {DNS_PORT}, protocol: UDP}}
  - {{name: dns-tcp, port: 53, targetPort: {DNS_PORT}, protocol: TCP}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
endpoints: [{{addresses: ["{ADDRESS}"]}}]
ports: [{{name: dns, port: {DNS_PORT}, protocol: UDP}}, {{name: dns-tcp, port: {DNS_PORT}, protocol: TCP}}]
"""
