"""The lines as text and as JSON; the clock; the rights; the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from mesh.check.api import Answer
from mesh.check.command import parse_duration
from mesh.check.facts import Malformed, Object, Unseen
from mesh.check.form import Form
from mesh.check.report import is_green, render
from mesh.check.rights import list_rights
from mesh.check.survey import measure, understand
from mesh.commands import run
from mesh.install.cluster import Record
from mesh.version import VERSION
from tests.unit.mesh.check.samples import judge, record

ROW = """\
  warning  this command is of its version
           cause: Gossamer 99.0 is installed, and this command is """


def test_a_table_has_every_line_and_a_short_one_what_is_wrong() -> None:
    lines = [*judge(record=record("99.0")).values()]
    table, short = render(lines, Form.TABLE), render(lines, Form.SHORT)
    assert table.startswith(
        "cluster\n  ok       the API server answers\n  ok       Kubernetes is new enough (Kubernetes 1.35)"
    )
    assert ROW in table
    assert ROW in short
    assert "           see:   docs/checks.md#version" in short
    assert "cluster" not in short.splitlines()
    assert table.splitlines()[-1] == short.splitlines()[-1] == "20 ok, 3 warning, 3 skipped"


def test_warnings_are_no_failure() -> None:
    assert is_green(judge(record=record("99.0")).values())
    assert not is_green(judge(webhook=None).values())


def test_json_says_the_same() -> None:
    answer = json.loads(render([*judge(webhook=None).values()], Form.JSON))
    assert answer["success"] is False
    (line,) = [line for line in answer["checks"] if line["verdict"] == "failed"]
    assert (line["name"], line["group"], line["link"]) == ("webhook", "webhook", "docs/checks.md#webhook")
    assert line["cause"]
    assert line["cure"]


def test_what_others_wrote_moves_no_cursor() -> None:
    lines = [*judge(record=record("\x1b[2J"), namespace=Unseen("\x9b1m")).values()]
    table = render(lines, Form.TABLE)
    assert "\x1b" not in table
    assert "\x9b" not in table
    assert "Gossamer \\x1b[2J is installed" in table
    assert "the namespace exists (\\x9b1m)" in table


def test_a_record_that_was_edited_by_hand_is_told_from_one_that_is_well() -> None:
    assert isinstance(understand(make_record(**{"values.controlPlane.replicas": "2"})), Record)
    for text, reason in (('"x"', "controlPlane.replicas is 'x'"), ("{", "controlPlane.replicas is '{'")):
        found = understand(make_record(**{"values.controlPlane.replicas": text}))
        assert isinstance(found, Malformed)
        assert reason in found.reason


def make_record(**data: str) -> Object:
    return {"metadata": {"name": "gossamer-config"}, "data": {"version": VERSION, **data}}


@pytest.mark.parametrize(
    ("date", "found"),
    [
        ("Thu, 01 Jan 2026 00:00:09 GMT", 0.0),  # whole seconds, rounded down
        ("Thu, 01 Jan 2026 00:00:40 GMT", 28.0),
        ("Wed, 31 Dec 2025 23:59:40 GMT", -29.0),
    ],
)
def test_the_clock_is_measured_between_question_and_answer(date: str, found: float) -> None:
    before = datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
    assert measure(Answer(200, b"", date), before, before + timedelta(seconds=2)) == found


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 2026 00:00:09 -0000"])
def test_a_server_without_a_clock(date: str) -> None:
    now = datetime.now(UTC)
    assert isinstance(measure(Answer(200, b"", date), now, now), Unseen)


def test_rights_are_those_of_the_manifests() -> None:
    everywhere = {str(right) for right in list_rights("gossamer", is_single=False)}
    alone = list_rights("shop", is_single=True)
    assert {"create namespaces", "create clusterroles.rbac.authorization.k8s.io", "watch pods"} <= everywhere
    assert "patch mutatingwebhookconfigurations.admissionregistration.k8s.io/gossamer-injector" in everywhere
    assert {right.namespace for right in alone} == {"shop"}
    assert not [right for right in alone if "cluster" in right.resource]


def test_times_of_wait() -> None:
    assert [parse_duration(text) for text in ("0s", "500ms", "2m", "1h")] == [0, 0.5, 120, 3600]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--wait", "5"], "--wait 5 is no time; write it like 30s or 2m"),
        (["--pre", "--proxy"], "give one of both"),
        (["--single-namespace"], "--single-namespace needs --pre"),
        (["--pre", "--workloads", "shop"], "leave it or --pre out"),
        (["-o", "yaml"], "'yaml'"),
    ],
)
def test_wrong_usage(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--kubeconfig", "/nowhere/config"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("mesh check: cannot use the kubeconfig /nowhere/config")
    assert said.count("\n") == 1
