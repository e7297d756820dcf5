"""The command lines, as far as no cluster is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mesh.commands import run

ALONE = ("install", "--ignore-cluster")


def kinds(text: str) -> dict[str, str]:
    return {item["kind"]: item["metadata"]["name"] for item in yaml.safe_load_all(text)}


def test_manifests_go_to_stdout_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ALONE]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert kinds(said.out)["Namespace"] == "gossamer"
    assert {"Namespace", "Deployment", "ClusterRole", "MutatingWebhookConfiguration"} <= kinds(said.out).keys()


def test_files_are_read_in_order_and_single_values_win(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, replicas in (("a", 7), ("b", 8)):
        (tmp_path / name).write_text(f"controlPlane: {{replicas: {replicas}}}\ninjector: {{replicas: {replicas}}}\n")
    files = ("-f", str(tmp_path / "a"), "-f", str(tmp_path / "b"))
    assert run([*ALONE, "--ha", *files, "--set", "injector.replicas=9"]) == 0
    found = [item for item in yaml.safe_load_all(capsys.readouterr().out) if item["kind"] == "Deployment"]
    assert [item["spec"]["replicas"] for item in found] == [8, 9]


def test_a_dry_run_lists_the_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ALONE, "--dry-run", "--single-namespace", "-n", "shop"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "apply      Deployment shop/gossamer-controlplane" in lines
    assert all(" shop/" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "controlPlane.replicas=x"), "--set: controlPlane.replicas is 'x', and must be a whole number"),
        (("--set", "singleNamespace=true"), "createNamespace needs rights that singleNamespace does without"),
        (
            ("--set", "singleNamespace=true", "--set", "createNamespace=false"),
            "singleNamespace is set by --single-namespace alone",
        ),
        (("-n", "kube-system"), "--namespace kube-system has others in it"),
        (("-n", "Shop"), "--namespace Shop is no name of a namespace"),
        (("-f", "/nowhere"), "--values /nowhere cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*ALONE, *arguments]) == 2
    found = capsys.readouterr()
    assert found.err.startswith(f"mesh install: {said}")
    assert (found.out, found.err.count("\n")) == ("", 1)


@pytest.mark.parametrize("command", ["install", "upgrade", "uninstall"])
def test_a_kubeconfig_that_is_not_there_is_named(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--kubeconfig", "/nowhere"]) == 1
    found = capsys.readouterr()
    assert found.err.startswith(f"mesh {command}: cannot use the kubeconfig /nowhere: no such file or directory")
    assert found.out == ""
