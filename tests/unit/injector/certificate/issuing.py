"""Certificates as users bring them: of an authority of their own, with or without one between."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from injector.certificate.pair import begin, encode, encode_key, name_alternative, name_subject

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMES = START, START + timedelta(days=90)


class Issuer:
    """An authority; `text` is its certificate."""

    def __init__(self, name: str, parent: Self | None = None, times: tuple[datetime, datetime] = TIMES) -> None:
        self._times = times
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = name_subject(name)
        signer = parent or self
        builder = begin(self._name, signer._name, self._key, times)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.text = encode(builder.sign(signer._key, hashes.SHA256()))

    def issue(self, *names: str, times: tuple[datetime, datetime] | None = None) -> tuple[str, str]:
        """A certificate for these names, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = begin(name_subject("webhook"), self._name, key, times or self._times)
        if names:
            alternatives = x509.SubjectAlternativeName([name_alternative(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return encode(builder.sign(self._key, hashes.SHA256())), encode_key(key)


def make_data(**texts: str) -> dict[str, str]:
    """As the `data` of a Secret: `tls_crt` is `tls.crt`."""
    return {name.replace("_", "."): base64.b64encode(text.encode()).decode() for name, text in texts.items()}
