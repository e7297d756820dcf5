"""What cannot start: one sentence, and the exit code. What runs is in tests/e2e/injector."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from injector.main import main

KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "c",
}
ANYWHERE = ("--admin", "127.0.0.1:0", "--listen", "127.0.0.1:0")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (
            ("--kubeconfig", "none"),
            2,
            "cannot use the kubeconfig none: no such file or directory; check it with kubectl",
        ),
        (("--config", "none"), 2, "--config none cannot be read: No such file or directory"),
        (("--image-pull-policy", "never"), 2, "proxy-image-pull-policy: 'never' is not Always, IfNotPresent or Never"),
        (("--tls-cert", "garbage", "--tls-key", "garbage"), 2, "there is no certificate where one should be"),
        (("--tls-cert", "none", "--tls-key", "none"), 2, "none cannot be read"),
        (("--listen", "192.0.2.1:1"), 1, "--listen 192.0.2.1:1 cannot be listened on: Cannot assign requested address"),
        (("--namespace", "Mesh"), 2, "no name of a namespace"),
        (("--client-ca", "garbage"), 2, "--client-ca garbage has no certificates; give a PEM file of authorities"),
        (("--client-ca", "none"), 2, "--client-ca none cannot be read: No such file or directory"),
    ],
)
def test_what_cannot_start_says_why(
    options: tuple[str, ...],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garbage").write_text("- garbage")
    (tmp_path / "config").write_text(json.dumps(KUBECONFIG))
    given = [*options]
    for option, value in (*zip(ANYWHERE[::2], ANYWHERE[1::2], strict=True), ("--kubeconfig", "config")):
        given += [] if option in options else [option, value]
    assert main(given) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("mesh injector: ")
    assert said.count("\n") == 1


def test_outside_of_a_cluster_it_asks_for_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert main([*ANYWHERE]) == 2
    assert "name the cluster with --kubeconfig FILE" in capsys.readouterr().err
