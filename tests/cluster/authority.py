"""The keys of a cluster: a CA, the certificates that it issues, and kubeconfig files that carry them."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=30)


def encode_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    pem, format_ = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, format_, serialization.NoEncryption())


def name_subject(name: str, groups: Sequence[str]) -> x509.Name:
    """Kubernetes reads the user from CN and the groups from O."""
    organizations = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*organizations, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def name_alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Authority:
    """Writes `ca.crt`, `ca.key`, `sa.key` (which signs ServiceAccount tokens) and what it issues into the folder."""

    def __init__(self, folder: Path, server: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.server = folder, server
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), name_subject("kube-ca", ())
        basic = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = self._sign(self._name, self._key, [(basic, True)])
        self.ca = folder / "ca.crt"
        self._write("ca", self._certificate, self._key)
        account = rsa.generate_private_key(65537, 2048)
        (folder / "sa.key").write_bytes(encode_key(account))

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extensions: Sequence[tuple[x509.ExtensionType, bool]]
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - LIFETIME / 30).not_valid_after(now + LIFETIME)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        (self.folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{file}.key").write_bytes(encode_key(key))

    def issue(self, file: str, name: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
        """FILE.crt and FILE.key for a user or a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        alternatives = x509.SubjectAlternativeName([name_alternative(host) for host in hosts or [file]])
        extensions: list[tuple[x509.ExtensionType, bool]] = [(usage, False), (alternatives, False)]
        self._write(file, self._sign(name_subject(name, groups), key, extensions), key)

    def write_certificate_kubeconfig(self, file: str, name: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for user `name` with a client certificate."""
        self.issue(file, name, groups)
        certificate, key = self._encode(f"{file}.crt"), self._encode(f"{file}.key")
        return self._write_kubeconfig(file, {"client-certificate-data": certificate, "client-key-data": key})

    def write_token_kubeconfig(self, file: str, token: str) -> Path:
        """A kubeconfig with a bearer token, as for a ServiceAccount."""
        return self._write_kubeconfig(file, {"token": token})

    def _encode(self, file: str) -> str:
        return base64.b64encode((self.folder / file).read_bytes()).decode()

    def _write_kubeconfig(self, file: str, user: dict[str, str]) -> Path:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "gossamer",
                    "cluster": {"server": self.server, "certificate-authority-data": self._encode("ca.crt")},
                }
            ],
            "users": [{"name": file, "user": user}],
            "contexts": [{"name": "gossamer", "context": {"cluster": "gossamer", "user": file}}],
            "current-context": "gossamer",
        }
        path = self.folder / f"{file}.conf"
        path.write_text(json.dumps(config, indent=1))  # JSON is YAML
        return path
