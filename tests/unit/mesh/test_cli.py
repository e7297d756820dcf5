from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mesh.build import HOT_PACKAGES
from mesh.commands import run
from mesh.version import VERSION


def mesh(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from mesh.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)


def test_version_says_what_is_compiled(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    first, *packages = capsys.readouterr().out.splitlines()
    assert first.startswith(f"gossamer {VERSION}, ")
    assert [line.partition(":")[0] for line in packages] == list(HOT_PACKAGES)


def test_version_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version", "-o", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["version"] == VERSION
    assert all({*modules} == {"compiled", "plain"} for modules in answer["modules"].values())
    assert "hpack" in [*answer["modules"]["proxy.codec"]["compiled"], *answer["modules"]["proxy.codec"]["plain"]]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["version", "-o", "xml"], "'xml' is not one of 'text', 'json'. See `mesh version --help`."),
        (["version", "--loud"], "No such option: --loud. See `mesh version --help`."),
        (["vresion"], "No such command 'vresion'"),
        (["completion"], "Missing argument 'shell'. Choose from: bash, zsh, fish. See `mesh completion --help`."),
        (["completion", "tcsh"], "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith("mesh: ")
    assert complaint in streams.err
    assert streams.err.count("\n") == 1


def test_without_arguments_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in ("proxy", "demo", "version", "completion"))


def test_a_fault_of_ours_is_one_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mesh.commands.HOT_PACKAGES", ("proxy.there_is_no_such_package",))
    assert run(["version"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_sidecar_starts_without_the_command_lines_libraries() -> None:
    program = (
        "import sys; from mesh.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "unwanted = {'typer', 'rich', 'pydantic', 'grpc', 'google', 'kubernetes'}\n"
        "print(*sorted(unwanted & {*sys.modules}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "proxy", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "mesh proxy" in result.stdout
    assert result.stderr == "\n"


def test_the_sidecars_exit_code_is_the_commands() -> None:
    result = mesh("proxy", "--no-such-option")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("shell", "line"), [("bash", "complete -o default"), ("zsh", "compdef"), ("fish", "complete")])
def test_completion_prints_a_script(shell: str, line: str) -> None:
    result = mesh("completion", shell)
    assert (result.returncode, result.stderr) == (0, "")
    assert line in result.stdout


@pytest.mark.parametrize(
    ("words", "expected"), [("mesh proxy --", "--config"), ("mesh proxy --listen a --li", "--listen")]
)
def test_options_of_commands_that_another_parser_reads_are_completed(words: str, expected: str) -> None:
    asked = {"_MESH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    program = "import sys; sys.argv = ['mesh']; from mesh.cli import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert expected in result.stdout.split()
    assert all(option.startswith(words.split()[-1]) for option in result.stdout.split())
    assert (result.returncode, result.stderr) == (0, "")


def test_a_closed_pipe_is_no_traceback() -> None:
    program = "import sys; from mesh.cli import main; sys.exit(main())"
    with subprocess.Popen(
        [sys.executable, "-c", program, "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
