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
OUR_ANNOTATIONS = "config.gossamer.mesh/"

# The filter_metadata of a locality and of an endpoint, with who runs there.
METADATA = "gossamer.mesh"

# Node.user_agent_name, by which a client's kind is told.
SIDECAR_AGENT = "gossamer"
ENVOY_AGENT = "envoy"
GRPC_AGENT_PREFIX = "gRPC"
