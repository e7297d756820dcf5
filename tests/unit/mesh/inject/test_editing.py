from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from injector.patch import Place, Settings, inject, uninject
from mesh.inject.editing import Unsuited, edit
from mesh.inject.manifest import Document, read_documents
from mesh.inject.rendering import load, render_flow
from mesh.inject.sources import Source
from mesh.inject.tree import parse, split

CASES = {
    "a member below its neighbours": (
        "a:\n  b: 1  # one\n  # two\n\n# three\nd: 4\n",
        {"a": {"b": 1, "c": 2}, "d": 4},
        "a:\n  b: 1  # one\n  c: 2\n  # two\n\n# three\nd: 4\n",
    ),
    "at the end of a file without a last line's end": ("a: 1", {"a": 1, "b": [1]}, "a: 1\nb:\n- 1"),
    "after a block scalar": ("a: |\n  x\n\n\nb: 1\n", {"a": "x\n", "b": 1, "c": 2}, "a: |\n  x\n\n\nb: 1\nc: 2\n"),
    "after a last block scalar": (
        "a:\n  b: |\n    x\n\n\n# end\n",
        {"a": {"b": "x\n", "c": 1}},
        "a:\n  b: |\n    x\n  c: 1\n\n\n# end\n",
    ),
    "after one that keeps its blank lines": (
        "a:\n  b: |+\n    x\n\n",
        {"a": {"b": "x\n\n", "c": 1}},
        "a:\n  b: |+\n    x\n\n  c: 1\n",
    ),
    "a member goes": ("a: 1\nb:\n  c: 2\n  d: 3 # x\n# y\ne: 5\n", {"a": 1, "e": 5}, "a: 1\n# y\ne: 5\n"),
    "nothing is left": ("a:\n  b: 1\nc: 2\n", {"a": {}, "c": 2}, "a: {}\nc: 2\n"),
    "something where nothing was": ("a: {}  # x\nc: 2\n", {"a": {"b": [1]}, "c": 2}, "a:\n  b:\n  - 1  # x\nc: 2\n"),
    "where null was": ("a:\nb: ~\n", {"a": {"c": 1}, "b": [2]}, "a:\n  c: 1\nb:\n- 2\n"),
    "a scalar": ("a: 1 # x\nb: 'y'\n", {"a": "1", "b": None}, 'a: "1" # x\nb:\n'),
    "flow members": ("a: {b: 1, 'c': 2, d: 3}\n", {"a": {"b": 1, "d": [4], "e": "5"}}, 'a: {b: 1, d: [4], e: "5"}\n'),
    "the first of a flow": ("a: {b: 1, c: 2, d: 3}\n", {"a": {"d": 3}}, "a: {d: 3}\n"),
    "the last of a flow": ("a: {b: 1, c: 2, d: 3}\n", {"a": {"b": 1}}, "a: {b: 1}\n"),
    "items of a flow": (
        "a: [{name: x}, {name: y, v: 1}]\n",
        {"a": [{"name": "o"}, {"name": "y", "v": 2}, {"name": "m"}]},
        "a: [{name: o}, {name: y, v: 2}, {name: m}]\n",
    ),
    "the first item": (
        "a:\n  # of x\n  - name: x\n    v: 1\n",
        {"a": [{"name": "o"}, {"name": "x", "v": 1}]},
        "a:\n  - name: o\n  # of x\n  - name: x\n    v: 1\n",
    ),
    "a later item": (
        "a:\n- name: x\n  v: 1\n\n# of y\n-   name: y\n",
        {"a": [{"name": "x", "v": 2}, {"name": "o"}, {"name": "y"}]},
        "a:\n- name: x\n  v: 2\n- name: o\n\n# of y\n-   name: y\n",
    ),
    "an item goes": ("a:\n- name: x\n  v: 1\n- name: y\n", {"a": [{"name": "y"}]}, "a:\n- name: y\n"),
    "one for another in its place": (
        "p:\n  a: 1\n  tcp:\n    port: 1\n  z: 2\n",
        {"p": {"a": 1, "http": {"port": 2}, "z": 2}},
        "p:\n  a: 1\n  http:\n    port: 2\n  z: 2\n",
    ),
    "an alias is written out": ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 2}}, "a: &x {b: 1}\nc:\n  b: 2\n"),
    "beside a merge": (
        "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n",
        {"a": {"b": 1}, "c": {"b": 3, "d": 2}},
        "a: &x {b: 1}\nc:\n  <<: *x\n  d: 2\n  b: 3\n",
    ),
    "ends of lines stay": ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2, "c": [1]}, "a: 1\r\nb: 2\r\nc:\r\n- 1\r\n"),
    "characters beyond a byte": ("é: 😀 # ü\n", {"é": "😀", "b": "ö"}, "é: 😀 # ü\nb: ö\n"),
    "after a directive": ("%YAML 1.1\n---\na: 1\n", {"a": 1, "b": 2}, "%YAML 1.1\n---\na: 1\nb: 2\n"),
    "within one document": ("--- # x\na: 1\n...\n", {"a": 1, "b": 2}, "--- # x\na: 1\nb: 2\n...\n"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_least_change_of_the_lines(case: str) -> None:
    text, after, expected = CASES[case]
    assert edit(text, load(text), after) == expected
    assert load(expected) == after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("a: 1\n", [1]),
        ("a: &x\n  b: 1\nc: *x\n", {"a": {"b": 2}, "c": {"b": 1}}),
        ("- a: 1\n  b: 2\n", [{"b": 2}]),
        ("a:\n- # x\n  name: o\n", {"a": [{"name": "m"}, {"name": "o"}]}),
        ("? a\n: 1\n", {"a": 2}),
        ("# nothing\n", {"a": 1}),
    ],
)
def test_what_has_no_place_is_written_anew(text: str, after: Any) -> None:
    before = load(text)
    try:
        assert load(edit(text, before, after)) != after
    except (Unsuited, yaml.YAMLError):
        pass
    written, is_bare = Document(text, before).rewrite(after)
    assert load(written) == after
    assert is_bare is ("#" in text)


def test_documents_are_told_apart() -> None:
    text = "# a\n---\na: |\n  ---\n# b\n---\n# c\n...\n---\nb: 1\n"
    assert split(text) == ["# a\n---\na: |\n  ---\n# b\n", "---\n# c\n...\n", "---\nb: 1\n"]
    assert [document.value for document in read_documents(Source("x", text))] == [{"a": "---\n"}, None, {"b": 1}]


def test_a_text_without_documents() -> None:
    assert parse("# nothing\n") is None
    assert [document.text for document in read_documents(Source("x", "# nothing\n"))] == ["# nothing\n"]


@pytest.mark.parametrize(
    "text",
    [
        "y",
        "No",
        "on",
        "~",
        "1e3",
        "0o17",
        "0x1f",
        "12:30:45",
        "2001-01-01",
        "1_000",
        "=",
        "<<",
        "1.",
        ".5",
        "-1",
        "null",
        "",
    ],
)
def test_text_that_some_reader_would_take_for_something_else_is_quoted(text: str) -> None:
    assert render_flow(text)[0] in "\"'"
    assert load(render_flow(text)) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10:30", "10:30"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ("0644", 420),
        ("0x1F", 31),
        ("yes", True),
        ("-5", -5),
    ],
)
def test_values_are_those_of_kubernetes(text: str, value: Any) -> None:
    assert load(text) == value


NAMES = st.sampled_from(["a", "b"])
CONTAINER = st.fixed_dictionaries(
    {"image": st.sampled_from(["x", "x:1", "'y'"])},
    optional={
        "args": st.lists(st.sampled_from(["on", "a\nb\n", "# c", "é", " ", "1"]), max_size=2),
        "readinessProbe": st.sampled_from([{"tcpSocket": {"port": 80}}, {"httpGet": {"port": 80}, "periodSeconds": 1}]),
    },
)
PODS = st.fixed_dictionaries(
    {
        "spec": st.fixed_dictionaries(
            {
                "containers": st.dictionaries(NAMES, CONTAINER, min_size=1).map(
                    lambda found: [{"name": name} | rest for name, rest in found.items()]
                )
            },
            optional={
                "volumes": st.sampled_from([[], [{"name": "v", "emptyDir": {}}]]),
                "dnsPolicy": st.just("Default"),
            },
        )
    },
    optional={
        "metadata": st.fixed_dictionaries(
            {}, optional={"labels": st.sampled_from([{}, {"app": "a"}]), "name": st.just("n")}
        )
    },
)


@given(PODS, st.sampled_from([True, False, None]), st.sampled_from([1, 2, 4]), st.booleans())
def test_any_layout_goes_there_and_back(pod: Any, is_flow: bool | None, indent: int, is_explicit: bool) -> None:
    text = yaml.safe_dump(
        pod,
        default_flow_style=is_flow,
        indent=indent,
        explicit_start=is_explicit,
        explicit_end=is_explicit,
        sort_keys=False,
    )
    injected = inject(pod, Place(is_asked=True), Settings()).after
    there = edit(text, pod, injected)
    assert load(there) == injected
    back = edit(there, injected, uninject(injected).after)
    assert load(back) == pod
