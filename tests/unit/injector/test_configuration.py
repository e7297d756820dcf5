from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from injector.configuration import Configuration, SettingsError, merge, read_version
from injector.patch.settings import SYSTEM_NAMESPACES

FLAGS: dict[str, Any] = {"control_plane": "plane.mesh.svc:4150", "defaults": {"proxy-image": "flag:1"}}


def make(path: Path | None) -> Configuration:
    return Configuration(FLAGS, str(path) if path else None, "mesh")


def test_flags_alone() -> None:
    configuration = make(None)
    configuration.open()
    assert configuration.settings.control_plane == "plane.mesh.svc:4150"
    assert configuration.settings.defaults == {"proxy-image": "flag:1"}
    assert configuration.settings.never == SYSTEM_NAMESPACES | {"mesh"}


def test_the_file_has_the_last_word_option_by_option() -> None:
    settings = merge(FLAGS, {"defaults": {"proxy-cpu-limit": "1"}, "never": ["shop"]}, "mesh")
    assert settings.defaults == {"proxy-image": "flag:1", "proxy-cpu-limit": "1"}
    assert settings.never == {"shop", "mesh"}
    assert merge(FLAGS, {"defaults": {"proxy-image": "file:1"}}, "mesh").defaults == {"proxy-image": "file:1"}
    assert merge(FLAGS, {"control_plane": "other:1"}, "mesh").control_plane == "other:1"


def test_a_change_is_taken_up_and_a_mistake_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("defaults: {proxy-image: 'file:1'}")
    configuration = make(path)
    configuration.open()
    for text, words in (
        ("defaults: [", "it is no YAML, line 1"),
        ("- a list", "give an object of settings"),
        ("defaults: {proxy-imag: 'file:2'}", "'proxy-imag' is unknown"),
        ("never: kube-system", "never: give a list of namespaces"),
        ("colour: blue", "'colour' is unknown"),
        ("defaults: [a, b]", "defaults: give an object of options"),
    ):
        path.write_text(text)
        for _ in range(3):
            configuration.look()
        said = capsys.readouterr().err
        assert words in said
        assert said.count("the settings before stay in force") == 1
        assert configuration.settings.defaults == {"proxy-image": "file:1"}
    path.unlink()
    configuration.look()
    assert "cannot be read: No such file" in capsys.readouterr().err
    path.write_text("defaults: {proxy-image: 'file:2'}")
    configuration.look()
    assert "the settings are in force again" in capsys.readouterr().err
    assert configuration.settings.defaults == {"proxy-image": "file:2"}


def test_at_the_start_a_mistake_is_the_end(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        make(tmp_path / "none").open()
    path = tmp_path / "settings.yaml"
    path.write_bytes(b" " * (2 << 20))
    with pytest.raises(SettingsError, match="more than 1 MiB"):
        make(path).open()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"major": "1", "minor": "34"}, (1, 34)),
        ({"major": "1", "minor": "28+"}, (1, 28)),
        ({"major": "1", "minor": ""}, None),
        ({}, None),
    ],
)
def test_the_version_of_the_cluster(answer: dict[str, str], expected: tuple[int, int] | None) -> None:
    assert read_version(answer) == expected
