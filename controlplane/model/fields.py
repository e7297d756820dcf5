"""Typed access to raw JSON or YAML: a value of the right kind, the default where it is null, or an `ObjectError`.

Raw objects may hold anything, since manifests are written by hand: text where a list belongs, numbers beyond all
bounds, characters that cannot be sent on. What passes here can be compared, logged and serialised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

MAX_TEXT = 253  # of a DNS name, and of all names in Kubernetes
MAX_VALUE = 65_536
Fields = dict[Any, Any]

_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


class ObjectError(Exception):
    """An object that cannot be used: one sentence that names the field."""


def fields(raw: Any, name: str) -> Fields:
    if isinstance(raw, dict):
        return raw
    if raw is None:
        return {}
    raise ObjectError(f"{name} must be a mapping, not {shown(raw)}")


def items(raw: Any, name: str) -> Sequence[Any]:
    if isinstance(raw, list):
        return raw
    if raw is None:
        return ()
    raise ObjectError(f"{name} must be a list, not {shown(raw)}")


def text(raw: Any, name: str, default: str = "") -> str:
    """Printable ASCII, as all identifiers of Kubernetes are."""
    if isinstance(raw, str) and len(raw) <= MAX_TEXT and raw.isascii() and raw.isprintable():
        return raw or default
    if raw is None:
        return default
    raise ObjectError(f"{name} must be printable ASCII text of at most {MAX_TEXT} characters, not {shown(raw)}")


def value(raw: Any, name: str) -> str:
    """Text for humans: anything that UTF-8 can carry."""
    if isinstance(raw, str) and len(raw) <= MAX_VALUE and not any("\ud800" <= char <= "\udfff" for char in raw):
        return raw
    raise ObjectError(f"{name} must be text of at most {MAX_VALUE} characters, not {shown(raw)}")


def label(raw: Any, name: str, default: str = "") -> str:
    """One label of a DNS name (RFC 1123)."""
    if isinstance(raw, str) and _LABEL.fullmatch(raw):
        return raw
    if default and raw in (None, ""):
        return default
    raise ObjectError(f"{name} must be a DNS label (a-z, 0-9 and -, at most 63 characters), not {shown(raw)}")


def dns_name(raw: Any, name: str) -> str:
    if isinstance(raw, str) and _NAME.fullmatch(raw):
        return raw
    raise ObjectError(f"{name} must be a DNS name in lower case (at most {MAX_TEXT} characters), not {shown(raw)}")


def flag(raw: Any, name: str, default: bool) -> bool:
    if raw is True or raw is False:
        return bool(raw)
    if raw is None:
        return default
    raise ObjectError(f"{name} must be true or false, not {shown(raw)}")


def port(raw: Any, name: str) -> int:
    if type(raw) is int and 0 < raw < 65536:
        return raw
    raise ObjectError(f"{name} must be a port number from 1 to 65535, not {shown(raw)}")


def choice(raw: Any, name: str, choices: Sequence[str], default: str = "") -> str:
    if isinstance(raw, str) and raw in choices:
        return raw
    if default and raw in (None, ""):
        return default
    raise ObjectError(f"{name} must be one of {', '.join(choices)}, not {shown(raw)}")


def address(raw: Any, name: str) -> str:
    """An IP address in its canonical spelling, without a zone."""
    if isinstance(raw, str):
        if _IPV4.fullmatch(raw):
            return raw
        try:
            if len(raw) <= MAX_TEXT and "%" not in raw:
                return str(ip_address(raw))
        except ValueError:
            pass
    raise ObjectError(f"{name} must be an IP address, not {shown(raw)}")


def shown(raw: Any) -> str:
    """Enough of a wrong value to find it; of a big one its type only."""
    if raw is None:
        return "null"
    if isinstance(raw, str):
        return ascii(raw[:40])
    if isinstance(raw, bool | float) or (isinstance(raw, int) and abs(raw) < 1 << 64):
        return str(raw)
    return {dict: "a mapping", list: "a list", int: "a huge number"}.get(type(raw), type(raw).__name__)
