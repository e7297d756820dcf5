"""What is deployed on the node: a client as users have it, which knows nothing of the mesh."""

from __future__ import annotations

from tests.cluster.mesh_image import NAME

# Calls for ever over one channel, as long-lived clients do, and prints who answered.
CLIENT = """
import sys, time, grpc
channel = grpc.insecure_channel(sys.argv[1])
call = channel.unary_unary("/e2e.Echo/name")
while True:
    try:
        print(call(b"", timeout=5, wait_for_ready=True).decode(), flush=True)
    except grpc.RpcError as error:
        print("failed:", error.code().name, error.details(), flush=True)
    time.sleep(0.02)
"""


def client_pod(target: str) -> dict[str, object]:
    """The mesh's image has Python and grpcio; the user is another than the sidecar's."""
    container = {
        "name": "client",
        "image": NAME,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", CLIENT, target],
        "securityContext": {"runAsUser": 1000},
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}
