"""The application's probes: led to the sidecar's admin port, and back.

Behind the sidecar every port looks open, so the kubelet asks it, and it asks the application as the kubelet would have
(docs/operations.md). How often, and how many failures count, stays as it was. Left alone are `exec`, which does not
pass the sidecar, probes of another `host`, and with a warning those that the sidecar could not ask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from injector.patch.fields import Fields, cut, read_fields, show
from injector.patch.targets import HANDLERS, find_handler, is_askable, is_number, is_token, measure, resolve
from mesh.contract import ADMIN_PORT, PROXY_CONTAINER

KINDS = {"liveness": "livenessProbe", "readiness": "readinessProbe", "startup": "startupProbe"}
_PREFIX = "/app-health/"
_OURS = re.compile(rf"{_PREFIX}([^/]+/(?:{'|'.join(KINDS)}))")
_TIMEOUT_MAX_S, _PROBES_MAX = 3600, 100  # of the sidecar
_BYTES_MAX = 64 << 10  # of all, in one variable of a process, for which the kernel has 128 KiB
_WARNINGS_MAX = 8


@dataclass
class Rewriting:
    """What has been led away: `sidecar` is what it must know (GOSSAMER_PROBES), `originals` what undoes it."""

    sidecar: dict[str, dict[str, Fields]] = field(default_factory=dict)
    originals: dict[str, Fields] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._count = sum(map(len, self.sidecar.values()))
        self._left_bytes = _BYTES_MAX - measure(self.sidecar)

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
        if target.get("host") or not is_number(timeout_s if timeout_s is not None else 1, _TIMEOUT_MAX_S):
            return container
        port = resolve(target.get("port"), container)
        size_bytes = measure({name: target})
        if fault := self._find_fault(name, target, port, size_bytes):
            if len(self.warnings) < _WARNINGS_MAX:
                self.warnings.append(f"{member} of container {cut(name)}: {fault}")
            return container
        self._count, self._left_bytes = self._count + 1, self._left_bytes - size_bytes
        told = {key: target[key] for key in HANDLERS[handler] if target.get(key) is not None} | {"port": port}
        timeout = {} if timeout_s is None else {"timeoutSeconds": timeout_s}
        self.sidecar.setdefault(name, {})[kind] = {handler: told, **timeout}
        self.originals[f"{name}/{kind}"] = {handler: target}
        ours = {"path": f"{_PREFIX}{name}/{kind}", "port": ADMIN_PORT}
        return {**container, member: exchange(probe, handler, {"httpGet": ours})}

    def _find_fault(self, name: str, target: Fields, port: int | None, size_bytes: int) -> str:
        """Why the sidecar cannot ask for it; the kubelet then does as ever, and behind the sidecar sees less."""
        if port is None:
            given = target.get("port")
            said = show(given) if isinstance(given, str) else cut(given)
            return f"its port {said} is none of the container's ports"
        if not is_token(name) or not is_askable(target):
            return "the sidecar cannot ask for it, as it has characters that are none of HTTP, so it is left alone"
        if self._count >= _PROBES_MAX or size_bytes > self._left_bytes:
            return (
                f"the sidecar has room for {_PROBES_MAX} probes of {_BYTES_MAX >> 10} KiB in all, so it is left alone"
            )
        return ""

    def encode(self) -> str:
        """As the variable's value, in which Kubernetes would look for $(NAME); empty without probes."""
        if not self.sidecar:
            return ""
        return json.dumps(self.sidecar, separators=(",", ":"), ensure_ascii=False).replace("$", "$$")


def decode(value: str) -> dict[str, dict[str, Fields]]:
    """What `encode` made; anything else is empty."""
    try:
        known = json.loads(value.replace("$$", "$"))
    except (ValueError, RecursionError):
        return {}
    return {name: kinds for name, kinds in known.items() if isinstance(kinds, dict)} if isinstance(known, dict) else {}


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
