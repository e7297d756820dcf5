"""Typed access to raw JSON or YAML: a value of the right kind, the default where it is null, or an `ObjectError`.

Raw objects may hold anything, since manifests are written by hand: text where a list belongs, numbers beyond all
bounds, characters that cannot be sent on. What passes here can be compared, logged and serialised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

MAX_TEXT = 253  # of a DNS name, and of all names in Kubernetes
MAX_VALUE = 65_536
Fields = dict[Any, Any]

_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
_SPECIAL_IPV4 = ("0.", "127.", "169.254.", "22", "23", "255.")  # none but these can be special: most are looked at once
_BROADCAST = IPv4Address("255.255.255.255")
_MAPPED, _NAT64 = IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96")
_METADATA = (IPv6Address("fd00:ec2::254"),)


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


def special(host: str) -> str:
    """What an address is where no other pod can be: the host itself, the link, many at once. Empty for the others.

    IPv6 has ways of saying an IPv4 address; and one of its own for the metadata of a cloud's machine.
    """
    if not (":" in host or host.startswith(_SPECIAL_IPV4)):
        return ""
    ip = ip_address(host)
    if isinstance(ip, IPv6Address):
        if ip in _METADATA:
            return "link-local"
        ip = IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _MAPPED or ip in _NAT64 else ip
    kinds = {
        "loopback": ip.is_loopback,
        "unspecified": ip.is_unspecified,
        "link-local": ip.is_link_local,
        "multicast": ip.is_multicast,
        "broadcast": ip == _BROADCAST,
    }
    return next((kind for kind, holds in kinds.items() if holds), "")


def printable(text: str) -> str:
    """Text from outside, for a log or a terminal: what would move the cursor or break the line is escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(raw: Any) -> str:
    """Enough of a wrong value to find it; of a big one its type only."""
    if raw is None:
        return "null"
    if isinstance(raw, str):
        return ascii(raw[:40])
    if isinstance(raw, bool | float) or (isinstance(raw, int) and abs(raw) < 1 << 64):
        return str(raw)
    return {dict: "a mapping", list: "a list", int: "a huge number"}.get(type(raw), type(raw).__name__)
