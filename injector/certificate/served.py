"""The TLS context of the webhook's port, whose certificate can be exchanged while it serves.

New handshakes take the new certificate, open connections stay as they are: OpenSSL copies it when a connection begins.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path


class UnusablePair(Exception):
    """A certificate and a key that TLS cannot use; the text says why."""


def make_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Served:
    """`is_loaded` says whether there is a certificate yet; without one, handshakes fail."""

    def __init__(self) -> None:
        self.context = make_context()
        self.is_loaded = False

    def load(self, certificate: str, key: str) -> None:
        """From PEM texts; raises UnusablePair, and serves the one before on."""
        load(make_context(), certificate, key)  # a pair that does not fit would leave half of it in the live context
        load(self.context, certificate, key)
        self.is_loaded = True


def load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """OpenSSL wants a file: one in memory, so that the key is written to no disk and the root may be read-only."""
    number = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        path = Path(f"/proc/self/fd/{number}")
        path.write_text(f"{certificate.strip()}\n{key.strip()}\n")
        context.load_cert_chain(path)
    except ssl.SSLError as error:
        raise UnusablePair(f"no certificate with its key: {error.reason or error}") from None
    finally:
        os.close(number)
