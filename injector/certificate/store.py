"""What the Secret holds: the pair that is served, the one that will be, and the authority of the one that was. Pure.

Nothing of it is trusted: somebody may have edited it, or it is another's Secret under our name, which is not touched.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from injector.certificate.pair import Pair, Unreadable, read_certificate, read_pair
from mesh.contract import INJECT

_PARTS = ("ca.crt", "tls.crt", "tls.key")
_NEXT, _PREVIOUS = "next.", "previous.ca.crt"
_NAMES = frozenset([*_PARTS, *(f"{_NEXT}{part}" for part in _PARTS), _PREVIOUS])
OURS = f"{INJECT.partition('/')[0]}/certificate"  # the label by which the Secret is known as ours


class Foreign(Exception):
    """The Secret is somebody else's; the text says so, and what to do."""


@dataclass(frozen=True, slots=True)
class Store:
    """`current` is what all replicas serve; `following` is not served before every API server knows its authority."""

    current: Pair | None = None
    following: Pair | None = None
    previous: str = ""

    def bundle(self) -> frozenset[str]:
        """The authorities that the API server is to trust."""
        pairs = (self.current, self.following)
        return frozenset([*(pair.authority for pair in pairs if pair), *([self.previous] if self.previous else [])])

    def encode(self) -> dict[str, str]:
        """As the `data` of a Secret."""
        texts: dict[str, str] = {}
        for prefix, pair in (("", self.current), (_NEXT, self.following)):
            if pair:
                values = (pair.authority, pair.certificate, pair.key)
                texts.update({f"{prefix}{part}": value for part, value in zip(_PARTS, values, strict=True)})
        if self.previous:
            texts[_PREVIOUS] = self.previous
        return {name: base64.b64encode(text.encode()).decode() for name, text in texts.items()}


def read_store(secret: Mapping[str, Any]) -> tuple[Store, list[str]]:
    """What can be read, and a sentence for each part that cannot. Raises Foreign."""
    data = secret.get("data") or {}
    labels = (secret.get("metadata") or {}).get("labels") or {}
    if labels.get(OURS) != "webhook" and (strange := sorted({*data} - _NAMES)):
        raise Foreign(f"it holds {strange[0]}, which is not ours; remove it, or name another with --secret")
    problems: list[str] = []
    current = read_part(data, "", problems)
    following = read_part(data, _NEXT, problems) if any(name.startswith(_NEXT) for name in data) else None
    return Store(current, following, read_previous(data, problems)), problems


def read_part(data: Mapping[str, Any], prefix: str, problems: list[str]) -> Pair | None:
    try:
        return read_pair(*(read_text(data, f"{prefix}{part}") for part in _PARTS))
    except Unreadable as error:
        problems.append(f"{prefix}tls.crt: {error}")
        return None


def read_previous(data: Mapping[str, Any], problems: list[str]) -> str:
    if _PREVIOUS not in data:
        return ""
    try:
        text = read_text(data, _PREVIOUS)
        read_certificate(text)
        return text
    except Unreadable as error:
        problems.append(f"{_PREVIOUS}: {error}")
        return ""


def read_text(data: Mapping[str, Any], name: str) -> str:
    try:
        return base64.b64decode(data[name], validate=True).decode("ascii")
    except (KeyError, TypeError, binascii.Error, ValueError):
        raise Unreadable(f"{name} is missing, or is no text") from None
