"""Whether `kubectl apply` would change an object: what is wanted is missing, or what it applied before is in excess."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def differs(wanted: Any, present: Any) -> bool:
    return not is_within(wanted, present) or not keeps(wanted, read_applied(present), present)


def read_applied(found: dict[str, Any]) -> Any:
    """What kubectl applied last, as it noted it; nothing where another tool did."""
    try:
        return json.loads((found["metadata"].get("annotations") or {}).get(_APPLIED, "null"))
    except ValueError:
        return None


def keeps(wanted: Any, applied: Any, present: Any) -> bool:
    """Whether nothing that was applied, and is there, is wanted no more: kubectl would remove it."""
    if isinstance(applied, dict) and isinstance(present, dict) and isinstance(wanted, dict):
        return all(
            key in wanted and keeps(wanted[key], item, present[key])
            for key, item in applied.items()
            if key in present and not is_empty(item)
        )
    if isinstance(applied, list) and isinstance(present, list) and isinstance(wanted, list):
        return all(keeps(*items) for items in zip(wanted, applied, present, strict=False))
    return True


def is_empty(item: Any) -> bool:
    return item is None or item in ({}, [], "")


def is_within(wanted: Any, present: Any) -> bool:
    """Whether all that is wanted is so already, whatever else the cluster has added."""
    if isinstance(wanted, dict):
        return isinstance(present, dict) and all(is_within(item, present.get(key)) for key, item in wanted.items())
    if isinstance(wanted, list):
        pairs: Iterable[tuple[Any, Any]] = zip(wanted, present, strict=False) if isinstance(present, list) else ()
        return isinstance(present, list) and len(wanted) == len(present) and all(is_within(*pair) for pair in pairs)
    return bool(wanted == present)
