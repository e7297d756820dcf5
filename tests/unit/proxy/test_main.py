from __future__ import annotations

import pytest

from proxy.main import parse, read_config


def test_endpoints_may_be_given_in_one_option_or_several() -> None:
    arguments = parse(["--listen", "127.0.0.1:1", "--to", "127.0.0.1:2,127.0.0.1:3", "--to", "127.0.0.1:4"])
    (cluster,) = read_config(arguments).clusters
    assert [endpoint.port for endpoint in cluster.endpoints] == [2, 3, 4]


@pytest.mark.parametrize(
    ("variable", "option", "expected"),
    [(None, None, None), ("7000", None, {7000}), ("7000", "25,90-91", {25, 90, 91}), ("", None, set())],
)
def test_opaque_ports_are_an_option_or_a_variable(
    variable: str | None, option: str | None, expected: set[int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("GOSSAMER_OPAQUE_PORTS", variable)
    found = parse(["--intercept", *(() if option is None else ("--opaque-ports", option))]).opaque_ports
    assert (None if found is None else {port for port in range(1, 65_536) if port in found}) == expected


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--listen", "a:1", "--listen", "a:2", "--to", "a:3"], "--listen is given twice"),
        (["--config", "a", "--config", "b"], "--config is given twice"),
        (["--listen", "a:1", "--to", "a:1,", "b:2"], "unrecognized: b:2 (endpoints are separated by a comma"),
        (["--config", "a", "--to", "a:1"], "without --control-plane or --intercept, --config takes no --listen, --to,"),
        (["--listen", "a:1"], "give --config FILE, or --listen HOST:PORT and --to"),
        ([], "or --listen HOST:PORT and --control-plane HOST:PORT, or in a pod --intercept"),
        (
            ["--listen", "a:1", "--to", "a:2", "--opaque-ports", "25"],
            "--opaque-ports needs --intercept, since only then",
        ),
        (["--listen", "a:1", "--to", "a:2", "--inbound-port", "25"], "--inbound-port needs --intercept"),
        (
            ["--intercept", "--outbound-port", "99999"],
            "argument --outbound-port: '99999' is no port (a number from 1 to",
        ),
        (["--intercept", "--inbound-port", "1-2"], "argument --inbound-port: '1-2' is no port"),
        (["--intercept", "--inbound-port", "1", "--inbound-port", "2"], "--inbound-port is given twice"),
        (["--intercept", "--inbound-port", "4140"], "--outbound-port and --inbound-port are both 4140"),
        (["--listen", "a:1", "--to", "a:2", "--workers", "0"], "--workers is a number from 1 to 64"),
        (["--intercept", "--opaque-ports", "25,web"], "ranges such as 3000-3010, commas between, not 'web'"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(argv)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GOSSAMER_OPAQUE_PORTS", "web")
    with pytest.raises(SystemExit) as end:
        parse(["--intercept"])
    assert end.value.code == 2
    assert "the variable GOSSAMER_OPAQUE_PORTS: write ports from 1 to 65535" in capsys.readouterr().err.splitlines()[-1]
    parse(["--listen", "127.0.0.1:1", "--to", "127.0.0.1:2"])  # who intercepts nothing does not look at it
