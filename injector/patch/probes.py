"""The application's probes: led to the sidecar's admin port, and back.

Behind the sidecar every port looks open, so the kubelet asks it, and it asks the application as the kubelet would have
(docs/operations.md). How often, and how many failures count, stays as it was. Left alone are `exec`, which does not
pass the sidecar, and probes of another `host`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from injector.patch.fields import Fields, read_fields, read_items
from mesh.contract import ADMIN_PORT, PROXY_CONTAINER
from mesh.ports import MAX_PORT

KINDS = {"liveness": "livenessProbe", "readiness": "readinessProbe", "startup": "startupProbe"}
_HANDLERS = {
    "httpGet": ("path", "port", "scheme", "httpHeaders"),
    "tcpSocket": ("port",),
    "grpc": ("port", "service"),
}
_PREFIX = "/app-health/"
_OURS = re.compile(rf"{_PREFIX}([^/]+/(?:{'|'.join(KINDS)}))")
_MAX_TIMEOUT_S = 3600  # of the sidecar


@dataclass
class Rewriting:
    """What has been led away: `sidecar` is what it must know (GOSSAMER_PROBES), `originals` what undoes it."""

    sidecar: dict[str, dict[str, Fields]] = field(default_factory=dict)
    originals: dict[str, Fields] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def rewrite(self, containers: list[Fields]) -> list[Fields]:
        """The containers with their probes led to the admin port; the same list if none had any."""
        after = [self._rewrite_container(container) for container in containers]
        return containers if all(new is old for new, old in zip(after, containers, strict=True)) else after

    def _rewrite_container(self, container: Fields) -> Fields:
        if container.get("name") == PROXY_CONTAINER:
            return container
        for kind, member in KINDS.items():
            probe = read_fields(container, member, "container.")
            if (handler := find_handler(probe)) and not is_ours(probe):
                container = self._rewrite_probe(container, kind, member, handler)
        return container

    def _rewrite_probe(self, container: Fields, kind: str, member: str, handler: str) -> Fields:
        probe, name = container[member], str(container.get("name"))
        target = read_fields(probe, handler)
        timeout_s = probe.get("timeoutSeconds")
        port = resolve(target.get("port"), container)
        if target.get("host") or not is_number(timeout_s if timeout_s is not None else 1, _MAX_TIMEOUT_S):
            return container
        if port is None:
            self.warnings.append(
                f"{member} of container {name}: its port {target.get('port')!r} is none of the container's ports"
            )
            return container
        told = {key: target[key] for key in _HANDLERS[handler] if target.get(key) is not None} | {"port": port}
        timeout = {} if timeout_s is None else {"timeoutSeconds": timeout_s}
        self.sidecar.setdefault(name, {})[kind] = {handler: told, **timeout}
        self.originals[f"{name}/{kind}"] = {handler: target}
        ours = {"path": f"{_PREFIX}{name}/{kind}", "port": ADMIN_PORT}
        return {**container, member: exchange(probe, handler, {"httpGet": ours})}

    def encode(self) -> str:
        """As the variable's value, in which Kubernetes would look for $(NAME); empty without probes."""
        if not self.sidecar:
            return ""
        return json.dumps(self.sidecar, separators=(",", ":"), ensure_ascii=False).replace("$", "$$")


def decode(value: str) -> dict[str, dict[str, Fields]]:
    """What `encode` made; anything else is empty."""
    try:
        known = json.loads(value.replace("$$", "$"))
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def find_handler(probe: Fields) -> str:
    """What a probe does, if it is one of those that pass the sidecar."""
    return next((handler for handler in _HANDLERS if probe.get(handler) is not None), "")


def is_ours(probe: Fields) -> str:
    """CONTAINER/KIND of a probe that leads to the sidecar already."""
    target = read_fields(probe, "httpGet")
    path = target.get("path")
    found = _OURS.fullmatch(path) if isinstance(path, str) and target.get("port") == ADMIN_PORT else None
    return found[1] if found else ""


def exchange(probe: Fields, handler: str, replacement: Fields) -> Fields:
    """The probe with another handler in the same place among its members."""
    after: Fields = {}
    for name, value in probe.items():
        after |= replacement if name == handler else {name: value}
    return after


def restore(containers: list[Fields], originals: Mapping[str, Fields]) -> list[Fields]:
    """The containers with their own probes again."""
    after = [restore_container(container, originals) for container in containers]
    return containers if all(new is old for new, old in zip(after, containers, strict=True)) else after


def restore_container(container: Fields, originals: Mapping[str, Fields]) -> Fields:
    for member in KINDS.values():
        probe = read_fields(container, member, "container.")
        if (key := is_ours(probe)) in originals:
            container = {**container, member: exchange(probe, "httpGet", originals[key])}
    return container


def resolve(port: Any, container: Fields) -> int | None:
    """The number of a port that may be a name of one of the container's, as the kubelet finds it."""
    if isinstance(port, str) and not port.isdigit():
        named = (item for item in read_items(container, "ports", "container.") if item.get("name") == port)
        port = next(named, {}).get("containerPort")
    elif isinstance(port, str):
        port = int(port)
    return port if is_number(port, MAX_PORT) else None


def is_number(value: Any, last: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= last
