"""A certificate that the user brings in the Secret, such as cert-manager's: read, judged, and taken up. No I/O.

The Secret is then the user's, and only read. What it holds may have an authority that no API server knows yet, so the
way to it is that of our own: its authority joins those of before in every caBundle; `spread_s` later it is served; as
much later, when the last replica has followed, those of before go.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from injector.certificate.pair import Pair, Unreadable, encode, read_names


def read_brought(authority: str, certificate: str, key: str) -> Pair:
    """From PEM texts, of which the certificate may be a chain; raises Unreadable.

    Trusted is what `authority` holds, if that has issued the certificate; otherwise the last of the chain.
    """
    chain, trusted = read_all("tls.crt", certificate), read_all("ca.crt", authority)
    if not chain:
        raise Unreadable("tls.crt holds no certificate")
    try:
        own = serialization.load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unreadable("tls.key is no key without a password") from None
    if own.public_key() != chain[0].public_key():
        raise Unreadable("tls.key is not the key of tls.crt")
    try:
        names = read_names(chain[0])
    except (x509.ExtensionNotFound, ValueError):
        raise Unreadable("tls.crt names nobody in its subjectAltName") from None
    anchors = trusted if any(leads_to(chain, found) for found in trusted) else chain[-1:]
    text = "".join(map(encode, anchors))
    return Pair(text, certificate, key, chain[0].not_valid_before_utc, chain[0].not_valid_after_utc, names)


def read_all(name: str, text: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(text.encode()) if text.strip() else []
    except ValueError:
        raise Unreadable(f"{name} holds something else than certificates") from None


def leads_to(chain: list[x509.Certificate], authority: x509.Certificate) -> bool:
    """Whether it is in the chain, or has issued one of it."""
    return any(found == authority or has_issued(authority, found) for found in chain)


def has_issued(authority: x509.Certificate, issued: x509.Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def find_fault(pair: Pair, names: Collection[str], now: datetime) -> str:
    """Why no API server would accept it; empty if it would. `names` are those that one may call us by."""
    if not any(covers(pair.names, name) for name in names):
        return f"tls.crt is not for {next(iter(names))}; have it issued for that name"
    if pair.not_after <= now:
        return f"tls.crt has ended at {pair.not_after.astimezone(UTC).isoformat()}; renew it"
    if pair.not_before > now:
        return f"tls.crt is valid only from {pair.not_before.astimezone(UTC).isoformat()}; see the clocks"
    return ""


def covers(found: Collection[str], name: str) -> bool:
    """A `*` stands for the first label (RFC 9525, 6.3)."""
    return name in found or f"*.{name.partition('.')[2]}" in found


class Plan(NamedTuple):
    """What a look at the Secret leads to."""

    is_served: bool
    authorities: frozenset[str]  # of every caBundle


class Handover:
    """From whatever was served before to what the user has brought; `coming` is that."""

    def __init__(self, spread_s: float) -> None:
        self.coming: Pair | None = None
        self._before: frozenset[str] = frozenset()
        self._spread_s = spread_s

    def begin(self, pair: Pair, present: frozenset[str]) -> bool:
        """`present` are the authorities of the caBundles now. False where it has begun already."""
        if pair == self.coming:
            return False
        self.coming, self._before = pair, present
        return True

    def plan(self, authorities: frozenset[str], served: Pair | None, trusted_s: float | None, now: datetime) -> Plan:
        """`authorities` are those of `coming`, and have been read back from every caBundle for `trusted_s`."""
        assert self.coming is not None
        trusted_s = trusted_s or 0.0
        is_due = served is None or served.not_after <= now or served.authority == self.coming.authority
        is_served = is_due or trusted_s >= self._spread_s
        if is_served and trusted_s >= 2 * self._spread_s:
            self._before = frozenset()
        return Plan(is_served, authorities | self._before)
