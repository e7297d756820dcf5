from __future__ import annotations

import socket
import ssl
from pathlib import Path

import aiohttp
import pytest

from mesh.access import AccessError, load_client, translate


async def test_outside_of_a_cluster_one_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(AccessError) as fault:
        await load_client(None, 1024)
    assert str(fault.value) == "this is no pod of Kubernetes; name the cluster with --kubeconfig FILE"


@pytest.mark.parametrize("text", ["clusters: 1", "a: [", "\x00", "users: [{}]"])
async def test_a_kubeconfig_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(AccessError) as fault:
        await load_client(str(path), 1024)
    assert str(fault.value).startswith(f"cannot use the kubeconfig {path}: ")
    assert str(fault.value).endswith("; check it with kubectl")
    assert str(fault.value).isprintable()


@pytest.mark.parametrize(
    ("error", "text", "is_tls"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('10.0.0.1', 6443)"), "connection refused", False),
        (TimeoutError(), "no answer in time", False),
        (aiohttp.ServerDisconnectedError(), "the connection was closed in the middle of an answer", False),
        (ssl.SSLError(1, "[SSL] wrong version number"), "[SSL] wrong version number", True),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known", False),
        (aiohttp.ClientError("an\x1b[2Jswer"), r"an\x1b[2Jswer", False),
        (aiohttp.ClientError(), "ClientError", False),
    ],
)
def test_failures_in_few_words(error: Exception, text: str, is_tls: bool) -> None:
    lost = translate(error)
    assert (str(lost), lost.is_tls) == (text, is_tls)
