"""TLS: what clients see when the certificate's files change, and which pairs are refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc
import pytest

from controlplane.ads.credentials import KeyPair, KeyPairError
from controlplane.translate.resource import CDS
from tests.requirement import require
from tests.unit.controlplane.ads.serving import DeltaCall, Serving


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def make_pair(directory: Path) -> tuple[str, str]:
    """A new self-signed certificate for 127.0.0.1 and its key."""
    require("openssl", "openssl (apt-get install openssl)")
    cert, key = str(directory / "cert.pem"), str(directory / "key.pem")
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *name, "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    return cert, key


async def test_a_renewed_certificate_is_taken_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cert, key = make_pair(tmp_path)
    serving = Serving()
    serving.port = serving.server.listen("127.0.0.1:0", KeyPair(cert, key).credentials())
    await serving.server.start()
    serving.server.admit()

    async def call(trusted: bytes) -> None:
        options = (("grpc.use_local_subchannel_pool", 1),)
        credentials = grpc.ssl_channel_credentials(trusted)
        async with grpc.aio.secure_channel(f"127.0.0.1:{serving.port}", credentials, options) as channel:
            assert await DeltaCall(channel).fetch(CDS, "a") == {}

    first = read(cert)
    await call(first)
    write(cert, "half a cert")
    await call(first)
    assert "the certificate in use is kept" in capsys.readouterr().err
    make_pair(tmp_path)
    assert read(cert) != first
    await call(read(cert))
    await serving.server.stop(0.0)


def test_a_pair_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    cert, _ = make_pair(tmp_path)
    _, key = make_pair(tmp_path / "other")
    with pytest.raises(KeyPairError, match="are no certificate and its private key"):
        KeyPair(cert, key)
    with pytest.raises(KeyPairError, match="/nowhere cannot be read: No such file"):
        KeyPair(cert, "/nowhere")
