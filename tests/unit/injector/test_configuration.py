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


@pytest.mark.parametrize(
    ("text", "defaults", "words"),
    [
        (
            "defaults: {proxy-cpu-request: abc, drain-delay: 7s}",
            {"drain-delay": "7s"},
            ["proxy-cpu-request: 'abc' is not"],
        ),
        (
            "{defaults: {bogus: 1, proxy-workers: 2}, never: x}",
            {"proxy-workers": "2"},
            ["'bogus' is unknown", "never: "],
        ),
        ("{colour: blue, defaults: [a]}", {}, ["'colour' is unknown", "defaults: give an object"]),
        ("{colour: blue, defaults: null}", {}, ["'colour' is unknown"]),
        ("defaults: [", {}, ["it is no YAML, line 1"]),
        ("- a list", {}, ["give an object of settings"]),
        (" " * (2 << 20), {}, ["it has more than 1 MiB"]),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value),
)
def test_at_the_start_what_cannot_be_used_is_left_out(
    text: str, defaults: dict[str, str], words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    configuration = make(path)
    configuration.open()
    for _ in range(3):
        configuration.look()
    said = capsys.readouterr().err
    assert (said.count("\n"), said.count("; that is left out")) == (1, 1)
    assert all(found in said for found in words)
    assert configuration.settings.defaults == {"proxy-image": "flag:1", **defaults}
    assert configuration.settings.control_plane == "plane.mesh.svc:4150"
    path.write_text("defaults: {drain-delay: 8s}")
    configuration.look()
    assert "the settings are in force again" in capsys.readouterr().err
    assert configuration.settings.defaults == {"proxy-image": "flag:1", "drain-delay": "8s"}


@pytest.mark.parametrize("text", ["locked: [proxy-image, bogus]", "{locked: [proxy-image], defaults: {bogus: 1}}"])
def test_what_is_locked_stays_so_whatever_else_is_left_out(text: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    configuration = make(path)
    configuration.open()
    assert "'bogus' is unknown" in configuration.problem.text
    assert configuration.settings.locked == {"proxy-image"}


def test_what_is_left_out_at_the_start_is_the_same_whatever_comes_next(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("defaults: {bogus: 1, drain-delay: 7s}")
    configuration = make(path)
    configuration.open()
    path.write_text("")
    configuration.look()
    assert configuration.settings.defaults == {"proxy-image": "flag:1"}
    assert configuration.problem.text == ""
    path.write_text("defaults: {bogus: 1, drain-delay: 7s}")
    configuration.look()
    assert configuration.settings.defaults == {"proxy-image": "flag:1"}
    assert configuration.problem.text.endswith("the settings before stay in force")


def test_at_the_start_a_file_that_is_missing_or_a_wrong_flag_is_the_end(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        make(tmp_path / "none").open()
    flags = {"defaults": {"proxy-image-pull-policy": "never"}}
    with pytest.raises(SettingsError, match="proxy-image-pull-policy: 'never' is not Always"):
        Configuration(flags, None, "mesh").open()


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
