from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.init.main import main
from proxy.init.whereabouts import check_network

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--outbound-port", "0"], "--outbound-port is a number from 1 to 65535, not '0'"),
        (
            ["--skip-subnets", "x"],
            "--skip-subnets takes subnets such as 10.0.0.0/8 or fd00::/8, commas between, not 'x'",
        ),
        (
            ["--inbound-port", "4191"],
            "the outbound, inbound and admin ports of the proxy must all be different",
        ),
        (["--delete", "--proxy-uid", "root"], "--proxy-uid is a number from 1 to 4294967294, not 'root'"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_and_exit_code_2(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    assert capsys.readouterr() == ("", f"mesh proxy init: {sentence}\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--backend", "ipfw"], "argument --backend: invalid choice: 'ipfw'"),
        (["--proxy-uid", "1", "--proxy-uid", "2"], "--proxy-uid is given twice"),
        (["--sim"], "unrecognized arguments: --sim"),
    ],
)
def test_wrong_usage_is_exit_code_2(options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(options)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_the_nodes_own_network_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GOSSAMER_POD_IP", "192.0.2.7")
    monkeypatch.setenv("GOSSAMER_HOST_IP", "192.0.2.7")
    assert main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mesh proxy init: this is the node's own network (192.0.2.7 is the address of the pod and ")
    assert "take hostNetwork out of the pod" in line


@pytest.mark.parametrize(("pod", "host"), [("", ""), ("10.1.2.3", ""), ("", "192.0.2.7"), ("10.1.2.3", "192.0.2.7")])
def test_any_other_network_is_a_pods(pod: str, host: str) -> None:
    check_network({"GOSSAMER_POD_IP": pod, "GOSSAMER_HOST_IP": host})
    check_network({})


def test_it_is_a_command_of_mesh_that_imports_little() -> None:
    program = (
        "import sys; from mesh.cli import main; code = main()\n"
        "unwanted = {'asyncio', 'uvloop', 'ssl', 'typer', 'yaml', 'proxy.main'}\n"
        "print(code, *sorted(unwanted & {*sys.modules}), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "proxy", "init", "--simulate"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("# iptables-restore --noflush\n*nat\n")
    assert done.stderr == "0\n"
