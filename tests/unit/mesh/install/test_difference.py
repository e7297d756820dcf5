"""Whether applying an object would change it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.install.difference import differs, is_within


@pytest.mark.parametrize(
    ("wanted", "present", "is_so"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 2, "d": 3}]}}, True),
        ([1], [1, 2], False),
        ([1, 2], [2, 1], False),
        ({"a": 1}, None, False),
        ([1], None, False),
        (1, True, True),
    ],
)
def test_whether_applying_would_change_anything(wanted: Any, present: Any, is_so: bool) -> None:
    assert is_within(wanted, present) is is_so


def note(applied: Any, **present: Any) -> dict[str, Any]:
    """An object as kubectl leaves it in the cluster."""
    key = "kubectl.kubernetes.io/last-applied-configuration"
    return {"metadata": {"annotations": {key: json.dumps(applied)}}, **present}


@pytest.mark.parametrize(
    ("wanted", "applied", "present", "is_so"),
    [
        ({"a": 1}, {"a": 1}, {"a": 1, "added": 2}, False),  # by the API server, or by somebody else
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1}, False),  # is gone already
        ({"a": 1}, {"a": 1, "b": {}, "c": None}, {"a": 1, "b": {}, "c": None}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1, "c": 2}]}, True),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, False),
        ({"a": 2}, {"a": 1}, {"a": 1}, True),
    ],
)
def test_what_kubectl_would_remove_is_a_change(wanted: Any, applied: Any, present: dict[str, Any], is_so: bool) -> None:
    assert differs(wanted, note(applied, **present)) is is_so


@pytest.mark.parametrize("annotations", [None, {"kubectl.kubernetes.io/last-applied-configuration": "{"}])
def test_what_another_tool_applied_is_compared_by_what_is_wanted(annotations: dict[str, str] | None) -> None:
    assert not differs({"a": 1}, {"metadata": {"annotations": annotations}, "a": 1, "b": 2})
