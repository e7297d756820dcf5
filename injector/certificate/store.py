"""What the Secret holds: the pair that is served, the one that will be, and the authority of the one that was. Pure.

Nothing of it is trusted: somebody may have edited it. One that the user has brought (`injector.certificate.brought`) is
never written.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from injector.certificate.brought import read_brought
from injector.certificate.pair import Pair, Unreadable, is_own, read_certificate, read_pair
from injector.certificate.texts import join
from mesh.contract import INJECT

_PARTS = ("ca.crt", "tls.crt", "tls.key")
_NEXT, _PREVIOUS = "next.", "previous.ca.crt"
OURS = f"{INJECT.partition('/')[0]}/certificate"  # the label by which the Secret is known as ours


class Foreign(Exception):
    """The Secret is the user's, and what is in it cannot be used; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Store:
    """`current` is what all replicas serve; `following` is not served before every API server knows its authority."""

    current: Pair | None = None
    following: Pair | None = None
    previous: str = ""

    def bundle(self) -> frozenset[str]:
        """The authorities that the API server is to trust, one by one."""
        texts = [*(pair.authority for pair in (self.current, self.following) if pair), self.previous]
        return frozenset(f"{authority}\n" for authority in join(texts))

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
    if is_brought(secret):
        return Store(read_theirs(data)), []
    problems: list[str] = []
    current = read_part(data, "", problems)
    following = read_part(data, _NEXT, problems) if any(name.startswith(_NEXT) for name in data) else None
    return Store(current, following, read_previous(data, problems)), problems


def is_brought(secret: Mapping[str, Any]) -> bool:
    """Whether it is the user's: it lacks our label, or holds a certificate that none of our authorities has issued.

    What another tool puts into a Secret that we have made keeps our label.
    """
    labels = (secret.get("metadata") or {}).get("labels") or {}
    if labels.get(OURS) != "webhook":
        return True
    try:
        return not is_own(read_text(secret.get("data") or {}, "tls.crt"))
    except Unreadable:
        return False


def read_theirs(data: Mapping[str, Any]) -> Pair:
    try:
        authority = read_text(data, "ca.crt") if data.get("ca.crt") else ""
        return read_brought(authority, read_text(data, "tls.crt"), read_text(data, "tls.key"))
    except Unreadable as error:
        raise Foreign(f"{error}; put a certificate and its key in, or delete it to get one of ours") from None


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
