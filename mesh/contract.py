"""Names and numbers that the parts share: they meet on the network only, and this is what they agree on there."""

from __future__ import annotations

OUTBOUND_PORT = 4140
INBOUND_PORT = 4143
ADMIN_PORT = 4191
XDS_PORT = 4150
CONTROL_ADMIN_PORT = 4192

# The user whose connections are not intercepted: the sidecar's own.
PROXY_UID = 2102

# How a meshed pod is known, and where its settings are.
PROXY_CONTAINER = "gossamer-proxy"
INIT_CONTAINER = "gossamer-init"
OUR_ANNOTATIONS = "config.gossamer.mesh/"
# The label of namespaces and pods that asks for the sidecar; on pods also an annotation, which has the last word.
INJECT = "gossamer.mesh/inject"
ENABLED, DISABLED = "enabled", "disabled"
# The annotation in which the injector keeps what it takes to undo its work.
INJECTED = "gossamer.mesh/injected"

# Where the control plane is unless the installation says otherwise, and what runs there and in every pod.
CONTROL_NAMESPACE = "gossamer"
CONTROL_SERVICE = "gossamer-controlplane"
CLUSTER_DOMAIN = "cluster.local"
IMAGE = "gossamer/mesh"

# For whom the sidecar's token is, so that nobody else takes it for one of theirs.
TOKEN_AUDIENCE = "gossamer.mesh"

# The filter_metadata of a locality and of an endpoint, with who runs there.
METADATA = "gossamer.mesh"

# Node.user_agent_name, by which a client's kind is told.
SIDECAR_AGENT = "gossamer"
ENVOY_AGENT = "envoy"
GRPC_AGENT_PREFIX = "gRPC"
# What the control plane calls a stream that has asked nothing yet, in its pages too.
ANONYMOUS = "a client without a name"
