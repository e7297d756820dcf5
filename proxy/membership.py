"""What makes a proxy a sidecar of a mesh: its control plane, and who it says it is there.

Who it is comes from the command line, else from where Kubernetes' downward API puts it. The client, and protobuf with
it, is imported only where it is used: a proxy without a control plane does not pay its 6 MB.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

from proxy.config.values import ValueProblem, is_label, parse_address
from proxy.destinations import Destinations, OnChange
from proxy.errors import ConfigError
from proxy.metrics.control import ControlState, add_control_metrics
from proxy.metrics.registry import Registry
from proxy.route.model import Address, Endpoint, ProxyConfig

if TYPE_CHECKING:
    from proxy.control import Control

_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
_MAX_TEXT_CHARS = 253


@dataclass(frozen=True, slots=True)
class Membership:
    """`mesh proxy --control-plane`. `pod` and `namespace` are this sidecar's name, `zone` and `node` where it runs."""

    control_plane: Address
    pod: str
    namespace: str
    zone: str = ""
    node: str = ""
    cache: str | None = None
    ca_file: str | None = None


def read_membership(arguments: argparse.Namespace, environment: Mapping[str, str]) -> Membership:
    try:
        control_plane = parse_address(arguments.control_plane)
    except ValueProblem as problem:
        raise ConfigError(f"--control-plane: {problem}") from None
    namespace = arguments.namespace or environment.get("GOSSAMER_NAMESPACE") or read_namespace() or "default"
    if not is_label(namespace) or namespace != namespace.lower():
        raise ConfigError(f"--namespace: '{namespace}' is no namespace (lower-case letters, digits and -)")
    pod = environment.get("GOSSAMER_POD") or socket.gethostname()
    zone = arguments.zone or environment.get("GOSSAMER_ZONE") or ""
    node = arguments.node_name or environment.get("GOSSAMER_NODE") or ""
    for name, text in (("--zone", zone), ("--node-name", node), ("GOSSAMER_POD", pod)):
        if len(text) > _MAX_TEXT_CHARS or not text.isprintable():
            raise ConfigError(f"{name}: give at most {_MAX_TEXT_CHARS} printable characters")
    check_files(arguments.cache, arguments.control_plane_ca)
    return Membership(control_plane, pod, namespace, zone, node, arguments.cache, arguments.control_plane_ca)


def read_namespace() -> str:
    """Where every pod with a service account has it; '' elsewhere."""
    try:
        with open(_NAMESPACE_FILE) as file:
            return file.read(_MAX_TEXT_CHARS + 1).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def check_files(cache: str | None, ca_file: str | None) -> None:
    """Now, where somebody reads the error, and not at the first connection."""
    if cache is not None and (os.path.isdir(cache) or not os.path.isdir(os.path.dirname(cache) or ".")):
        raise ConfigError(f"--cache: '{cache}' is no file in a directory that exists; create the directory")
    if ca_file is not None and not os.access(ca_file, os.R_OK):
        raise ConfigError(f"--control-plane-ca: '{ca_file}' cannot be read; check the path and its permissions")


class Member:
    """The control plane's client of one worker, and what it tells about itself."""

    def __init__(self, membership: Membership, rng: Callable[[], float], worker: int) -> None:
        self.membership = membership
        self.rng = rng
        # Each worker knows what its own connections ask for.
        self.cache = f"{membership.cache}.{worker}" if membership.cache and worker else membership.cache
        self.control: Control

    def connect(self, on_change: OnChange) -> Control:
        """Make the client; it talks once `control.run` does."""
        from proxy.control import Control, Node

        who = self.membership
        node = Node(f"{who.pod}.{who.namespace}", who.namespace, who.zone, who.node)
        self.control = Control(who.control_plane, node, on_change, self.rng, self.cache, who.ca_file)
        return self.control

    def add_metrics(self, registry: Registry, destinations: Destinations) -> None:
        add_control_metrics(registry, lambda: self._state(destinations))

    def _state(self, destinations: Destinations) -> ControlState:
        counters = self.control.counters
        return ControlState(
            self.control.connected,
            self.control.since_contact_s(monotonic()),
            len(destinations.known),
            len(destinations.awaited),
            self.control.subscriptions,
            counters.responses,
            counters.nacks,
            counters.failures,
        )

    def describe(self, config: ProxyConfig, destinations: Destinations) -> dict[str, Any]:
        """What is in force, for the admin port's /config."""
        wishes = destinations.clusters.wishes
        return {
            "listen": config.listen,
            "admin": config.admin,
            "settings": config.settings,
            "control_plane": {
                "address": str(self.membership.control_plane),
                "node": self.control.node,
                "connected": self.control.connected,
                "last_error": self.control.last_error,
            },
            "destinations": [
                {"name": name, "routes": known.value.routes} for name, known in sorted(destinations.known.items())
            ],
            "awaited": sorted(destinations.awaited),
            "clusters": {name: [describe(endpoint) for endpoint in wishes[name].endpoints] for name in sorted(wishes)},
        }


def describe(endpoint: Endpoint) -> dict[str, Any]:
    who = endpoint.workload
    told = {"pod": endpoint.pod, "workload": f"{who.kind}/{who.name}" if who.name else "", "namespace": who.namespace}
    return {"address": str(endpoint), "weight": endpoint.weight, **{name: text for name, text in told.items() if text}}
