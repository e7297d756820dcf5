"""What a probe asks, as far as the sidecar can ask it: a sidecar that is told more than that does not start.

The rules are the sidecar's own (`proxy.admin.probes`), since a pod is reviewed before the API server validates it, and
some of what that admits, such as a tab in a path, is none of HTTP.
"""

from __future__ import annotations

import json
import re
from typing import Any

from injector.patch.fields import Fields, read_items
from mesh.ports import MAX_PORT

HANDLERS = {
    "httpGet": ("path", "port", "scheme", "httpHeaders"),
    "tcpSocket": ("port",),
    "grpc": ("port", "service"),
}
_SCHEMES = ("", "HTTP", "HTTPS")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110, section 5.6.2


def find_handler(probe: Fields) -> str:
    """What a probe does, if it is one of those that pass the sidecar."""
    return next((handler for handler in HANDLERS if probe.get(handler) is not None), "")


def is_askable(target: Fields) -> bool:
    """Whether the sidecar can ask for this, apart from the port."""
    headers = target.get("httpHeaders")
    return (
        all(is_text(target.get(name)) for name in ("path", "service", "scheme"))
        and (target.get("scheme") or "").upper() in _SCHEMES
        and (headers is None or (isinstance(headers, list) and all(map(is_header, headers))))
    )


def is_header(header: Any) -> bool:
    return isinstance(header, dict) and is_token(header.get("name")) and is_text(header.get("value"))


def is_token(value: Any) -> bool:
    return isinstance(value, str) and bool(_TOKEN.fullmatch(value))


def is_text(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.isprintable())


def measure(target: Fields) -> int:
    """At least the bytes that it takes as JSON, however that is written."""
    return len(json.dumps(target))


def resolve(port: Any, container: Fields) -> int | None:
    """The number of a port that may be a name of one of the container's, as the kubelet finds it."""
    if isinstance(port, str) and port.isascii() and port.isdecimal() and len(port) <= len(str(MAX_PORT)):
        port = int(port)
    elif isinstance(port, str):
        named = (item for item in read_items(container, "ports", "container.") if item.get("name") == port)
        port = next(named, {}).get("containerPort")
    return port if is_number(port, MAX_PORT) else None


def is_number(value: Any, last: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= last
