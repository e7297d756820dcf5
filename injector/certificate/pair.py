"""One generation of the certificate: an authority, and the one certificate that it ever issued. Pure: `now` is given.

The authority's key is forgotten as soon as it has signed, so nobody can issue anything that the API server would take
for us. So a new certificate always means a new authority, which has its own name: clients find by it which one signed.

Invariant: what `make_pair` makes, `read_pair` reads; and what it reads, a TLS server can use.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_AUTHORITY = "gossamer-injector-ca-"  # how the names of all our authorities begin
SKEW_S = 3600.0  # clocks of the API server may be that much behind ours


class Unreadable(Exception):
    """What is kept is no certificate of ours; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Pair:
    """PEM texts, and what the certificate says. The times are those of the certificate."""

    authority: str
    certificate: str
    key: str
    not_before: datetime
    not_after: datetime
    names: frozenset[str]


def make_pair(names: Sequence[str], now: datetime, lifetime_s: float) -> Pair:
    """Valid from an hour ago until `lifetime_s` from now."""
    now = now.replace(microsecond=0)  # certificates have seconds
    times = now - timedelta(seconds=SKEW_S), now + timedelta(seconds=lifetime_s)
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    issuer = name_subject(f"{_AUTHORITY}{identifier.digest.hex()[:16]}")
    authority = (
        begin(issuer, issuer, authority_key, times)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(allow(key_cert_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        begin(name_subject(names[0]), issuer, key, times)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(allow(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([name_alternative(name) for name in names]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Pair(encode(authority), encode(certificate), encode_key(key), *times, frozenset(names))


def begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, times: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(times[0])
        .not_valid_after(times[1])
    )


def name_subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])  # X.509 has no longer ones


def name_alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def allow(key_cert_sign: bool = False, digital_signature: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def encode(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def encode_key(key: ec.EllipticCurvePrivateKey) -> str:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def read_pair(authority: str, certificate: str, key: str) -> Pair:
    """From the PEM texts; raises Unreadable."""
    issuer, issued = read_certificate(authority), read_certificate(certificate)
    try:
        own = serialization.load_pem_private_key(key.encode(), None)
        issued.verify_directly_issued_by(issuer)
        names = read_names(issued)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Unreadable("its key is none, or is not of its certificate") from None
    except InvalidSignature:
        raise Unreadable("its certificate is not of its authority") from None
    except x509.ExtensionNotFound:
        raise Unreadable("its certificate names nobody") from None
    if own.public_key() != issued.public_key():
        raise Unreadable("its key is not of its certificate")
    return Pair(authority, certificate, key, issued.not_valid_before_utc, issued.not_valid_after_utc, names)


def is_own(certificate: str) -> bool:
    """Whether it names one of our authorities as its issuer; raises Unreadable."""
    names = read_certificate(certificate).issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(str(name.value).startswith(_AUTHORITY) for name in names)


def read_names(issued: x509.Certificate) -> frozenset[str]:
    """Host names and addresses; raises ExtensionNotFound."""
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return frozenset([*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))])


def read_certificate(text: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        raise Unreadable("there is no certificate where one should be") from None
