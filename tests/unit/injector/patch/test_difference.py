from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.patch.difference import diff
from tests.unit.injector.patch.applying import apply

SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.text("ab~/", max_size=2)
NAMES = st.sampled_from("abcdef")


def named(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.builds(lambda name, value: {"name": name, "value": value}, NAMES, values)
    return st.lists(items, max_size=5)


VALUES = st.recursive(
    SCALARS,
    lambda values: st.lists(values, max_size=3) | named(values) | st.dictionaries(st.text("ab~/", max_size=2), values),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_the_patch_leads_from_the_one_to_the_other(before: Any, after: Any) -> None:
    assert apply(before, list(diff(before, after))) == after


@given(VALUES)
def test_nothing_is_said_where_nothing_changed(value: Any) -> None:
    assert list(diff(value, value)) == []


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        (["a"], ["a", "b"], [{"op": "replace", "path": "", "value": ["a", "b"]}]),
        (
            [{"name": "a"}, {"name": "b"}],
            [{"name": "x"}, {"name": "b", "c": 1}],
            [
                {"op": "remove", "path": "/0"},
                {"op": "add", "path": "/0", "value": {"name": "x"}},
                {"op": "add", "path": "/1/c", "value": 1},
            ],
        ),
        (
            [{"name": "a"}, {"name": "b"}],
            [{"name": "b"}, {"name": "a"}],
            [{"op": "replace", "path": "", "value": [{"name": "b"}, {"name": "a"}]}],
        ),
        ({"a/b": {"~": 1}}, {"a/b": {}}, [{"op": "remove", "path": "/a~1b/~0"}]),
    ],
)
def test_items_are_told_apart_by_name(before: Any, after: Any, patch: list[Any]) -> None:
    assert list(diff(before, after)) == patch
