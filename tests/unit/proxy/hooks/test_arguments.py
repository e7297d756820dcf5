"""The command lines of the hooks."""

import pytest

from proxy.hooks.arguments import parse
from proxy.route.model import Address


def test_defaults() -> None:
    arguments, command = parse(["await"])
    assert (arguments.admin, arguments.timeout_s, arguments.shutdown) == (Address("127.0.0.1", 4191), 120.0, False)
    assert command == []
    assert parse(["drain"])[0].timeout_s == 120.0


def test_what_follows_the_dashes_is_the_commands() -> None:
    arguments, command = parse(
        ["await", "--shutdown", "--admin", "[::1]:9", "--", "run", "--shutdown", "--", "--timeout"]
    )
    assert (arguments.shutdown, arguments.admin) == (True, Address("::1", 9))
    assert command == ["run", "--shutdown", "--", "--timeout"]


@pytest.mark.parametrize(("text", "seconds"), [("30", 30.0), ("1.5", 1.5), ("250ms", 0.25), ("2m", 120.0)])
def test_times(text: str, seconds: float) -> None:
    assert parse(["await", "--timeout", text])[0].timeout_s == seconds


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["await", "run"], "unrecognized: run (write -- before COMMAND)"),
        (["await", "--shutdown"], "--shutdown needs a COMMAND, whose end it waits for"),
        (["await", "--shutdown", "--"], "--shutdown needs a COMMAND, whose end it waits for"),
        (["await", "--timeout", "soon"], "'soon' is no duration"),
        (["await", "--admin", "here"], "'here' is no HOST:PORT"),
        (["await", "--admin", "a:1", "--admin", "b:1"], "--admin is given twice"),
        (["drain", "--shutdown"], "unrecognized: --shutdown"),
        (["drain", "--", "run"], "unrecognized: "),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    argv: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse(argv)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err.splitlines()[-1]
