"""The containers and volumes that injection adds, as Kubernetes objects.

What they may do is the least that works, so that a namespace with PodSecurity `restricted` admits the sidecar; the init
container needs two capabilities more, and root, to write iptables' rules.
"""

from __future__ import annotations

from typing import Any

from injector.patch.ending import End, make_end, share_out
from injector.patch.fields import Fields, read_fields
from injector.patch.wishes import OPAQUE_PORTS, Wishes
from mesh.contract import (
    ADMIN_PORT,
    INBOUND_PORT,
    INIT_CONTAINER,
    OUTBOUND_PORT,
    PROXY_CONTAINER,
    PROXY_UID,
    TOKEN_AUDIENCE,
)

_RUN_VOLUME, _IDENTITY_VOLUME, _NOTHING_VOLUME = OUR_VOLUMES = (
    "gossamer-run",
    "gossamer-identity",
    "gossamer-nothing",
)
_RUN = "/run/gossamer"
_IDENTITY = "/var/run/secrets/gossamer"
# Where the ServiceAccount admission plugin mounts a token for the API, unless something is mounted there.
_API_TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount"
_TOKEN_S = 86_400
# Where the node's zone is, since Kubernetes 1.35 (KEP-4742); empty before, and then the sidecar does without.
_ZONE = "metadata.labels['topology.kubernetes.io/zone']"
_PLACES = {
    "GOSSAMER_POD": "metadata.name",
    "GOSSAMER_NAMESPACE": "metadata.namespace",
    "GOSSAMER_POD_IP": "status.podIP",
    "GOSSAMER_NODE": "spec.nodeName",
    "GOSSAMER_ZONE": _ZONE,
}
# By these `mesh proxy init` finds out that it was given the node's network, whose rules it must not change.
_WHOSE_NETWORK = {"GOSSAMER_POD_IP": "status.podIP", "GOSSAMER_HOST_IP": "status.hostIP"}
PROBES = "GOSSAMER_PROBES"


def make_init_container(wishes: Wishes, shared: frozenset[str]) -> Fields:
    """`shared` are the kinds of resources that the pod has as a whole."""
    return {
        "name": INIT_CONTAINER,
        "image": wishes.proxy_image,
        "imagePullPolicy": wishes.proxy_image_pull_policy,
        "command": ["mesh", "proxy", "init", *init_arguments(wishes)],
        "env": [*make_references(_WHOSE_NETWORK), {"name": "XTABLES_LOCKFILE", "value": f"{_RUN}/xtables.lock"}],
        "resources": make_resources(wishes, shared),
        "securityContext": make_security(0) | {"capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": _RUN_VOLUME, "mountPath": _RUN}, mount_nothing()],
    }


def init_arguments(wishes: Wishes) -> list[str]:
    asked = {
        "--skip-inbound-ports": wishes.skip_inbound_ports,
        "--skip-outbound-ports": wishes.skip_outbound_ports,
        "--skip-subnets": wishes.skip_subnets,
        "--proxy-uid": "" if wishes.proxy_uid == PROXY_UID else str(wishes.proxy_uid),
        "--workers": count_workers(wishes),
        "--backend": "" if wishes.iptables_backend == "auto" else wishes.iptables_backend,
    }
    return [word for option, value in asked.items() if value for word in (option, value)]


def make_proxy_container(wishes: Wishes, control_plane: str, end: End, probes: str, shared: frozenset[str]) -> Fields:
    """`probes` is what the sidecar is to ask for the kubelet."""
    container: Fields = {
        "name": PROXY_CONTAINER,
        "image": wishes.proxy_image,
        "imagePullPolicy": wishes.proxy_image_pull_policy,
        "command": ["mesh", "proxy", *proxy_arguments(wishes, control_plane)],
        "env": make_environment(wishes, end, probes),
        "ports": make_ports(wishes),
        "resources": make_resources(wishes, shared),
        "securityContext": make_security(wishes.proxy_uid) | {"capabilities": {"drop": ["ALL"]}},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": _RUN_VOLUME, "mountPath": _RUN},
            {"name": _IDENTITY_VOLUME, "mountPath": _IDENTITY, "readOnly": True},
            mount_nothing(),
        ],
    }
    if wishes.native_sidecar:
        container["restartPolicy"] = "Always"
    if hooks := make_hooks(wishes):
        container["lifecycle"] = hooks
    return container


def proxy_arguments(wishes: Wishes, control_plane: str) -> list[str]:
    mode = ["--intercept"] if wishes.intercepts else ["--listen", f"127.0.0.1:{OUTBOUND_PORT}"]
    cache = ["--cache", f"{_RUN}/destinations"]
    workers = ["--workers", number] if (number := count_workers(wishes)) else []
    return [*mode, "--control-plane", control_plane, "--admin", f"[::]:{ADMIN_PORT}", *cache, *workers]


def count_workers(wishes: Wishes) -> str:
    """For both command lines: rules must leave each worker's admin port alone. Empty where there is one."""
    return "" if wishes.proxy_workers == 1 else str(wishes.proxy_workers)


def make_ports(wishes: Wishes) -> list[Fields]:
    """A name has room for 15 characters, and workers after the first have none."""
    named = {INBOUND_PORT: "gossamer-proxy"} if wishes.intercepts else {}
    named |= dict.fromkeys(wishes.admin_ports, "") | {ADMIN_PORT: "gossamer-admin"}
    return [
        ({"name": name} if name else {}) | {"containerPort": port, "protocol": "TCP"} for port, name in named.items()
    ]


def make_hooks(wishes: Wishes) -> Fields:
    """What follows starts when postStart has ended: a second earlier than with a startupProbe, on whose success the
    kubelet acts only after its next look at the container. Without interception nobody calls in by the sidecar.
    """
    hooks = {}
    if wishes.proxy_await:
        hooks["postStart"] = {"exec": {"command": ["mesh", "proxy", "await"]}}
    if wishes.intercepts:
        hooks["preStop"] = {"exec": {"command": ["mesh", "proxy", "drain"]}}
    return hooks


def make_environment(wishes: Wishes, end: End, probes: str) -> list[Fields]:
    found = make_references(_PLACES)
    said = {**make_end(share_out(wishes, end)), PROBES: probes}
    found += [{"name": name, "value": value} for name, value in said.items() if value]
    if wishes.intercepts and wishes.opaque_ports != OPAQUE_PORTS:
        # The API drops a value that is empty, which here says that there are none.
        found.append({"name": "GOSSAMER_OPAQUE_PORTS"} | ({"value": ports} if (ports := wishes.opaque_ports) else {}))
    return found


def make_references(paths: dict[str, str]) -> list[Fields]:
    """Variables by the downward API."""
    return [
        {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
        for name, path in paths.items()
    ]


def mount_nothing() -> Fields:
    """Neither container calls the API, so neither is to have the application's token for it."""
    return {"name": _NOTHING_VOLUME, "mountPath": _API_TOKEN, "readOnly": True}


def find_shared(spec: Fields) -> frozenset[str]:
    """Of what the pod has an amount as a whole (KEP-2837), which the sum of its containers may not exceed."""
    resources = read_fields(spec, "resources", "spec.")
    return frozenset(
        kind for name in ("limits", "requests") for kind in read_fields(resources, name, "spec.resources.")
    )


def make_resources(wishes: Wishes, shared: frozenset[str]) -> Fields:
    """Both containers have the same: a pod that is Guaranteed can so stay it. Of what is shared they have no own."""
    amounts = {
        "limits": {"cpu": wishes.proxy_cpu_limit, "memory": wishes.proxy_memory_limit},
        "requests": {"cpu": wishes.proxy_cpu_request, "memory": wishes.proxy_memory_request},
    }
    found = {
        name: {kind: text for kind, text in said.items() if text and kind not in shared}
        for name, said in amounts.items()
    }
    return {name: said for name, said in found.items() if said}


def make_security(uid: int) -> Fields:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": uid,
        "runAsNonRoot": uid != 0,
        "runAsUser": uid,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def make_volumes() -> list[Fields]:
    """In memory, since an emptyDir on disk would keep the cluster's autoscaler from ever removing the node."""
    token: Any = {"path": "token", "audience": TOKEN_AUDIENCE, "expirationSeconds": _TOKEN_S}
    return [
        {"name": _RUN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": _IDENTITY_VOLUME, "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": _NOTHING_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "4Ki"}},
    ]
