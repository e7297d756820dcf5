from __future__ import annotations

import pytest

from injector.options import parse
from mesh.options import Address, OptionError


def test_without_options_it_is_what_install_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "GOSSAMER_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    options = parse([])
    assert (options.listen, options.admin) == (Address("127.0.0.1", 8443), Address("127.0.0.1", 4193))
    assert (options.namespace, options.secret, options.webhook) == ("gossamer", *["gossamer-injector"] * 2)
    assert options.names[0] == "gossamer-injector.gossamer.svc"
    assert options.settings["control_plane"] == "gossamer-controlplane.gossamer.svc.cluster.local:4150"
    assert options.lifetime_s == 90 * 86_400


def test_the_arguments_of_the_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_NAMESPACE", "mesh")
    given = ["--image=mine:7", "--image-pull-policy=Always", "--cluster-domain=corp.example", "--listen=0.0.0.0:8443"]
    options = parse(given)
    assert options.names == (
        "gossamer-injector.mesh.svc",
        "gossamer-injector.mesh.svc.corp.example",
        "gossamer-injector.mesh",
    )
    assert options.settings == {
        "control_plane": "gossamer-controlplane.mesh.svc.corp.example:4150",
        "defaults": {"proxy-image": "mine:7", "proxy-image-pull-policy": "Always"},
    }


def test_more_names_and_times() -> None:
    options = parse(["--name", "127.0.0.1", "--name", "hook.example", "--certificate-lifetime", "12h"])
    assert options.names[3:] == ("127.0.0.1", "hook.example")
    assert options.lifetime_s == 43_200
    assert parse(["--drain-delay", "0s"]).drain_s == 0
    assert parse(["--listen", "[::1]:0"]).listen == Address("::1", 0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--tls-cert", "a"], "go together"),
        (["--tls-key", "a"], "go together"),
        (["--ca-bundle", "a"], "--ca-bundle is for --tls-cert"),
        (["--listen", "8443"], "is not HOST:PORT"),
        (["--listen", "a:70000"], "is not HOST:PORT"),
        (["--admin", "a:1:2"], "is not HOST:PORT"),
        (["--listen", "a:1", "--admin", "a:1"], "give each its own port"),
        (["--namespace", "Mesh"], "no name of a namespace"),
        (["--certificate-lifetime", "90"], "is not a time such as 30s"),
        (["--certificate-lifetime", "5s"], "at least 10s"),
    ],
)
def test_wrong_usage_is_one_sentence(given: list[str], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse(given)


def test_an_option_that_is_given_twice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--listen", "a:1", "--listen", "b:1"])
    assert end.value.code == 2
    assert "--listen is given twice" in capsys.readouterr().err
