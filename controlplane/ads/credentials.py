"""The server's certificate, read again when its file changes: certificates are short-lived, and streams are long.

A new connection gets the pair that is in the files then; a pair that does not fit together leaves the last good one.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from mesh.log import log


class KeyPairError(Exception):
    """Certificate and key cannot be used; the message says why."""


class KeyPair:
    """`cert` and `key` are paths of PEM files, the key without a password."""

    def __init__(self, cert: str, key: str) -> None:
        self._cert, self._key = Path(cert), Path(key)
        self._contents = self._read()
        self._problem = ""

    def credentials(self) -> grpc.ServerCredentials:
        return grpc.dynamic_ssl_server_credentials(self._configuration(), self._renew)  # type: ignore[arg-type]

    def _read(self) -> tuple[bytes, bytes]:
        """The key and the certificate, checked: of a wrong pair gRPC says only, and to the client, that it failed."""
        try:
            contents = self._key.read_bytes(), self._cert.read_bytes()
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self._cert, self._key, password="")
        except (ssl.SSLError, ValueError):
            raise KeyPairError(
                f"{self._cert} and {self._key} are no certificate and its private key, in PEM without a password"
            ) from None
        except OSError as error:
            raise KeyPairError(f"{error.filename} cannot be read: {error.strerror}") from None
        return contents

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([self._contents])

    def _renew(self) -> grpc.ServerCertificateConfiguration | None:
        """gRPC asks before each handshake, in a thread of its own; None keeps what there is."""
        try:
            contents = self._read()
        except KeyPairError as error:
            if str(error) != self._problem:
                log(f"the certificate in use is kept: {error}")
            self._problem = str(error)
            return None
        self._problem = ""
        if contents == self._contents:
            return None
        self._contents = contents
        log(f"{self._cert} is in use")
        return self._configuration()
