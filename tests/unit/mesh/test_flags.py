"""Every option of every command stands on the page of its command: who looks there finds it, and what it does."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from mesh import commands
from mesh.cli import main

DOCS = Path(__file__).parents[3] / "docs"
PAGES = {
    "proxy": "proxy-config.md",
    "proxy init": "interception.md",
    "proxy await": "operations.md",
    "proxy drain": "operations.md",
    "controlplane": "control-plane.md",
    "injector": "injection.md",
    "demo": "demo.md",
    "inject": "injection.md",
    "uninject": "injection.md",
    "install": "installation.md",
    "upgrade": "installation.md",
    "uninstall": "installation.md",
    "check": "checks.md",
    "version": "installation.md",
    "completion": "installation.md",
}
# Parsed by argparse, past typer, which does not know their options.
FORWARDED = [name for name in PAGES if name.partition(" ")[0] in commands.FORWARDS]
GROUP: Any = typer.main.get_command(commands.app)


class Seen(Exception):
    """The parser was made; there is no need to parse."""


def read_options(name: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    if name not in FORWARDED:
        return [option for parameter in GROUP.commands[name].params for option in parameter.opts]
    parsers: list[argparse.ArgumentParser] = []

    def see(parser: argparse.ArgumentParser, *_: object) -> None:
        parsers.append(parser)
        raise Seen

    for method in ("parse_args", "parse_known_args"):
        monkeypatch.setattr(argparse.ArgumentParser, method, see)
    monkeypatch.setattr("sys.argv", ["mesh", *name.split()])
    with pytest.raises(Seen):
        main()
    return [option for action in parsers[0]._actions for option in action.option_strings]


def test_every_command_has_a_page() -> None:
    assert {name.partition(" ")[0] for name in PAGES} == {*GROUP.commands}


@pytest.mark.parametrize("name", PAGES)
def test_every_option_is_on_the_page(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = [option for option in read_options(name, monkeypatch) if option.startswith("--") and option != "--help"]
    text = (DOCS / PAGES[name]).read_text()
    missing = [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", text)]
    assert missing == [], f"docs/{PAGES[name]} has to say what these of `mesh {name}` do"


@pytest.mark.parametrize("name", FORWARDED)
def test_options_of_those_that_are_forwarded_are_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the comparison above would be one with nothing."""
    assert {"--help"} < {*read_options(name, monkeypatch)}
