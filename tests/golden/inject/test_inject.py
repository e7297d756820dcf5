"""NAME.in.yaml against what `mesh inject` makes of it (NAME.label.yaml, NAME.manual.yaml) and says (NAME.report.txt).

`mesh uninject` leads from both back to the input: to its very bytes, but where a part had to be written anew, as the
lists below say, and there to the same objects. `pytest tests/golden --update-golden` writes the files: read the diff.
"""

from __future__ import annotations

import json
from difflib import unified_diff
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh.commands import run
from mesh.inject.rendering import Loader

HERE = Path(__file__).parent
INPUTS = sorted([*HERE.glob("*.in.yaml"), *HERE.glob("*.in.json")])
# Where one template serves two Deployments there is no line that could be changed for both.
SHARED = {"anchors"}
# Probes come back with their members in order, in block style.
PROBED = {"boutique", "probes"}


@pytest.fixture(params=INPUTS, ids=lambda path: path.name.partition(".")[0])
def source(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def mesh(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Any:
    def call(*arguments: str, text: bytes | None = None) -> tuple[bytes, str]:
        if text is not None:
            (tmp_path / "manifest.yaml").write_bytes(text)
            arguments = (*arguments, str(tmp_path / "manifest.yaml"))
        code = run(list(arguments))
        out, err = capfdbinary.readouterr()
        assert code == 0, err
        return out, err.decode()

    return call


def read_objects(text: bytes) -> list[Any]:
    return json.loads(text) if text.startswith(b"{") else list(yaml.load_all(text.decode(), Loader))


def compare(golden: Path, now: bytes, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden", default=False):
        golden.write_bytes(now)
    before = golden.read_bytes() if golden.exists() else b""
    if before != now:
        lines = [text.decode().splitlines() for text in (before, now)]
        diff = "\n".join(unified_diff(*lines, golden.name, "now", lineterm="", n=8)) or "the ends of lines differ"
        pytest.fail(f"{diff}\nIf this is meant: pytest tests/golden --update-golden", pytrace=False)


def test_what_becomes_of_it(source: Path, mesh: Any, request: pytest.FixtureRequest) -> None:
    name, suffix = source.name.partition(".")[0], source.suffix
    said = ""
    for mode, options in (("label", []), ("manual", ["--manual"])):
        out, report = mesh("inject", *options, str(source))
        compare(source.with_name(f"{name}.{mode}{suffix}"), out, request)
        said += f"mesh inject {' '.join([*options, source.name])}\n{report}\n"
    compare(source.with_name(f"{name}.report.txt"), said.encode(), request)


@pytest.mark.parametrize("mode", [[], ["--manual"]], ids=["label", "manual"])
def test_it_comes_back_the_same(source: Path, mode: list[str], mesh: Any) -> None:
    name, before = source.name.partition(".")[0], source.read_bytes()
    injected = mesh("inject", *mode, text=before)[0]
    back = mesh("uninject", text=injected)[0]
    assert read_objects(back) == read_objects(before)
    if name not in SHARED and not (mode and name in PROBED):
        assert back.decode() == before.decode()


@pytest.mark.parametrize("mode", [[], ["--manual"]], ids=["label", "manual"])
def test_a_second_time_changes_nothing(source: Path, mode: list[str], mesh: Any) -> None:
    once = mesh("inject", *mode, text=source.read_bytes())[0]
    assert mesh("inject", *mode, text=once)[0] == once
    assert mesh("inject", text=once)[0] == mesh("inject", text=once)[0]


def test_the_lists_name_inputs() -> None:
    assert {*SHARED, *PROBED} <= {path.name.partition(".")[0] for path in INPUTS}
