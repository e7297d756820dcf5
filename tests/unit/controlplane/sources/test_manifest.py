"""Manifests as people write them, and as attackers do."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controlplane.sources.manifest import MAX_DEPTH, MAX_NODES, ManifestError, parse

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
)
VALUES = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(min_size=1, max_size=9), values, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b", "spec", "metadata"]), VALUES, min_size=1)


def raws(text: str) -> list[dict[str, Any]]:
    return [document.raw for document in parse(text, False)]


@given(st.lists(OBJECTS, max_size=4))
def test_what_yaml_writes_is_read_as_it_was(objects: list[dict[str, Any]]) -> None:
    text = yaml.safe_dump_all(objects, explicit_start=True)
    assert raws(text) == objects


@given(OBJECTS)
def test_json_is_read_as_it_was(value: dict[str, Any]) -> None:
    (document,) = parse(json.dumps(value), True)
    assert document.raw == value


def test_documents_know_their_lines_and_empty_ones_do_not_count() -> None:
    text = "# a comment\n---\na: 1\n---\n---\n# nothing\n---\nb: 2\n"
    assert [(document.raw, document.line) for document in parse(text, False)] == [({"a": 1}, 3), ({"b": 2}, 8)]
    assert parse("", False) == []


def test_a_list_is_taken_apart_and_its_items_know_their_lines() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- kind: Pod\n  n: 1\n- kind: Service\n"
    assert [(document.raw["kind"], document.line) for document in parse(text, False)] == [("Pod", 4), ("Service", 6)]


def test_the_items_of_a_typed_list_are_of_its_kind() -> None:
    (document,) = parse('{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {}}]}', True)
    assert document.raw == {"apiVersion": "v1", "kind": "Pod", "metadata": {}}


def test_scalars_mean_what_they_mean_to_kubectl_and_times_stay_text() -> None:
    text = "a: yes\nb: 0x10\nc: '1'\nd: 2026-01-01T00:00:00Z\ne: ~\nf: 1.5\ng: 12:30:45\nh: 10.0.0.1\ni: =\n"
    (found,) = raws(text)
    assert list(found.values()) == [True, 16, "1", "2026-01-01T00:00:00Z", None, 1.5, "12:30:45", "10.0.0.1", "="]


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: [1\nb: 2\n", "2:", "no valid YAML"),
        ("a: &x [1]\nb: *x\n", "2:4", "aliases"),
        ("a: 1\n<<: {b: 1}\n", "2:1", "merge keys"),
        ("a: !!python/object/apply:os.system [ls]\n", "1:4", "tags"),
        ("a: 1\na: 2\n", "2:1", "given twice"),
        ("? [a]\n: 1\n", "1:3", "a key is text"),
        ("- 1\n", "1:1", "a mapping"),
        ("a: 1\n---\nplain\n", "3:1", "a mapping"),
        ("kind: List\nitems:\n- 5\n", "1:1", "a mapping"),
        ("a: 1\nb: \x07\n", "2:1", "no such character"),
        ("a: " + "9" * 5000, "1:4", "too long a number"),
        ("a: " + "[" * 100_000, "1:", f"more than {MAX_DEPTH} deep"),
        ("a:\n" + "".join("  " * depth + "- a:\n" for depth in range(1, 100)), "", f"more than {MAX_DEPTH} deep"),
        ("a: [" + "1, " * 500_001 + "]", "1:", "split the file"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text: str, place: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words) as caught:
        parse(text, False)
    assert str(caught.value).startswith(place)


def test_a_line_of_merges_that_would_take_gigabytes_costs_nothing() -> None:
    lines = ["a0: &a0 {k: v}"]
    lines += [f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 9)}]}}" for level in range(1, 12)]
    with pytest.raises(ManifestError):
        parse("\n".join(lines), False)


@pytest.mark.parametrize("text", ["", "{", "[]", "nul", "[" * 100_000, '{"a": ' + "9" * 5000 + "}"])
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(ManifestError):
        parse(text, True)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for is_json in (False, True):
        try:
            parse(text, is_json)
        except ManifestError:
            pass


def test_json_is_bounded_as_yaml_is_before_memory_goes_into_it() -> None:
    many = '{"kind": "List", "items": [' + "{}," * MAX_NODES + "{}]}"
    with pytest.raises(ManifestError, match="split the file"):
        parse(many, True)
    with pytest.raises(ManifestError, match="split the file"):
        parse(json.dumps({"a": '", [', "b": [1] * (MAX_NODES + 1)}), True)


def test_a_string_without_an_end_is_looked_at_once() -> None:
    with pytest.raises(ManifestError):
        parse("," * (MAX_NODES + 1) + '"' + '\\"' * MAX_NODES, True)


def test_commas_and_brackets_in_text_are_no_values() -> None:
    value = {"a": ',[{"\\' * MAX_NODES}
    (document,) = parse(json.dumps(value), True)
    assert document.raw == value
