"""What the installation says to the injector: where the control plane is, which namespaces are none of its business.

`defaults` are options as in annotations (`injector.patch.wishes.OPTIONS`), by the name without its prefix: they hold
where neither pod nor namespace says otherwise. Everything here has a working default.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from injector.patch.fields import Refusal, show
from injector.patch.wishes import OPTIONS, read
from mesh.contract import CLUSTER_DOMAIN, CONTROL_NAMESPACE, CONTROL_SERVICE, XDS_PORT

SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
NATIVE_SIDECARS = (1, 29)  # on by default from this version of Kubernetes
_ADDRESS = re.compile(r"(?:[a-z0-9_.-]{1,253}|\[[0-9a-f:.]+\]):\d{1,5}", re.ASCII | re.IGNORECASE)


def name_control_plane(namespace: str = CONTROL_NAMESPACE, domain: str = CLUSTER_DOMAIN) -> str:
    """In full, so that it does not matter where pods look short names up."""
    return f"{CONTROL_SERVICE}.{namespace}.svc.{domain}:{XDS_PORT}"


@dataclass(frozen=True, slots=True)
class Settings:
    """`never` are the namespaces whose pods are left alone, whoever asks; no annotation sets the `locked` options."""

    control_plane: str = name_control_plane()
    never: frozenset[str] = SYSTEM_NAMESPACES | {CONTROL_NAMESPACE}
    defaults: Mapping[str, str] = field(default_factory=dict)
    locked: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not _ADDRESS.fullmatch(self.control_plane):
            raise Refusal(f"the control plane {show(self.control_plane)} is not HOST:PORT")
        for name, text in self.defaults.items():
            if name not in OPTIONS:
                raise Refusal(f"defaults: {show(name)} is unknown; there are {', '.join(OPTIONS)}")
            if text:
                read(name, OPTIONS[name], text, f"defaults: {name}")
        for name in sorted(self.locked - OPTIONS.keys()):
            raise Refusal(f"locked: {show(name)} is unknown; there are {', '.join(OPTIONS)}")

    def on_kubernetes(self, major: int, minor: int) -> Settings:
        """The same for a cluster of this version, which may know no native sidecars."""
        if (major, minor) >= NATIVE_SIDECARS:
            return self
        return replace(self, defaults={"native-sidecar": "false", **self.defaults})


def read_settings(values: Mapping[str, Any]) -> Settings:
    """From a ConfigMap's YAML or JSON: a name that is unknown, or a value of another kind, is a Refusal."""
    known = [item.name for item in fields(Settings)]
    for name in values:
        if name not in known:
            raise Refusal(f"{show(str(name))} is unknown; there are {', '.join(known)}")
    changes: dict[str, Any] = {}
    if "control_plane" in values:
        changes["control_plane"] = str(values["control_plane"])
    if "never" in values:
        changes["never"] = frozenset(read_list(values["never"], "never: give a list of namespaces"))
    if "locked" in values:
        changes["locked"] = frozenset(read_list(values["locked"], "locked: give a list of options"))
    if "defaults" in values:
        changes["defaults"] = read_defaults(values["defaults"])
    return Settings(**changes)


def read_list(value: Any, wanted: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Refusal(wanted)
    return value


def read_defaults(value: Any) -> dict[str, str]:
    """YAML's own true and 25 are taken for what they are as text."""
    if not isinstance(value, dict):
        raise Refusal("defaults: give an object of options")
    return {str(name): str(said).lower() if isinstance(said, bool) else str(said) for name, said in value.items()}
