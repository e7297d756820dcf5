"""`mesh` and kubectl as users run them, and what there is in a cluster."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from mesh.commands import run
from tests.cluster.api_server import ApiServer
from tests.cluster.binaries import find_program
from tests.cluster.client import Client, Object

PROGRAM = "import sys; from mesh.cli import main; sys.exit(main())"
KINDS = (
    "Namespace",
    "ServiceAccount",
    "ConfigMap",
    "Secret",
    "Service",
    "apps/Deployment",
    "apps/ReplicaSet",
    "Pod",
    "policy/PodDisruptionBudget",
    "rbac.authorization.k8s.io/ClusterRole",
    "rbac.authorization.k8s.io/ClusterRoleBinding",
    "rbac.authorization.k8s.io/Role",
    "rbac.authorization.k8s.io/RoleBinding",
    "admissionregistration.k8s.io/MutatingWebhookConfiguration",
    "admissionregistration.k8s.io/ValidatingAdmissionPolicy",
    "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding",
    "networking.k8s.io/NetworkPolicy",
    "apiextensions.k8s.io/CustomResourceDefinition",
)


class User:
    """Who calls the commands: the admin of a cluster, or somebody with fewer rights."""

    def __init__(self, api: ApiServer, kubeconfig: Path | None = None) -> None:
        self.kubeconfig = kubeconfig or api.kubeconfig

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """In this process, which has the Kubernetes client loaded already; on the node it is a process of its own."""
        with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
            code = run([*arguments, "--kubeconfig", str(self.kubeconfig)])
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def mesh(self, *arguments: str) -> str:
        done = self.call(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """What it says on stderr: one sentence, with nothing on stdout."""
        done = self.call(*arguments)
        assert (done.returncode, done.stdout[:200], done.stderr.count("\n")) == (1, "", 1), done.stderr
        return done.stderr

    def kubectl(self, *arguments: str, text: str = "") -> str:
        command = [find_program("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout


def list_all(client: Client) -> Iterator[tuple[str, str, str]]:
    """Kind, namespace and name of all that there is, but for what the cluster makes by itself."""
    for kind in KINDS:
        for item in client.list(kind):
            metadata = item["metadata"]
            if metadata["name"] not in {"kube-root-ca.crt", "default"} and "deletionTimestamp" not in metadata:
                yield kind, metadata.get("namespace", ""), metadata["name"]


def contents(client: Client, namespace: str) -> dict[tuple[str, str, str], Object]:
    """All that an installation has labelled, without what the API server notes beside it."""
    found = {}
    for kind in KINDS:
        for item in client.list(kind, labelSelector=f"app.kubernetes.io/instance={namespace}"):
            metadata = item["metadata"]
            kept = {key: value for key, value in item.items() if key not in {"metadata", "status"}}
            found[kind, metadata.get("namespace", ""), metadata["name"]] = {**kept, "labels": metadata["labels"]}
    return found
