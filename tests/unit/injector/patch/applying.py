"""A JSON patch applied, as RFC 6902 says: add, remove, replace. Whatever cannot be applied is an error."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any


def apply(document: Any, patch: list[dict[str, Any]]) -> Any:
    document = json.loads(json.dumps(document))  # a copy in which nothing is shared
    for operation in patch:
        value = deepcopy(operation.get("value"))
        steps = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        if not steps:
            assert operation["op"] == "replace"
            document = value
            continue
        target = document
        for step in steps[:-1]:
            target = target[int(step) if isinstance(target, list) else step]
        change(target, steps[-1], operation["op"], value)
    return document


def change(target: Any, step: str, what: str, value: Any) -> None:
    if isinstance(target, list):
        index = int(step)
        assert 0 <= index <= len(target) - (what != "add")
        if what == "add":
            target.insert(index, value)
            return
        del target[index]
        if what == "replace":
            target.insert(index, value)
        return
    assert what == "add" or step in target
    if what == "remove":
        del target[step]
    else:
        target[step] = value
