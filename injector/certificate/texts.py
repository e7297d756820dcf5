"""Texts that hold several certificates, as a caBundle and `ca.crt` may, taken apart: their order means nothing.

What is no certificate comes out as it is, so that it equals none.
"""

from __future__ import annotations

from collections.abc import Iterable

from injector.certificate.pair import Unreadable, read_certificate

_END = "-----END CERTIFICATE-----"


def split_text(text: str) -> set[str]:
    """Each certificate by itself (PEM, RFC 7468)."""
    return {f"{part.strip()}\n{_END}" if after else part for part, after in cut(text) if part.strip()}


def cut(text: str) -> list[tuple[str, str]]:
    parts = []
    while text:
        part, end, text = text.partition(_END)
        parts.append((part, end))
    return parts


def join(texts: Iterable[str]) -> set[str]:
    """The certificates of all these texts."""
    return {found for text in texts for found in split_text(text)}


def is_certificate(text: str) -> bool:
    try:
        read_certificate(text)
    except Unreadable:
        return False
    return True
