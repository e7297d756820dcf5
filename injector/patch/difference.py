"""The JSON patch (RFC 6902) that leads from one object to another.

Items of lists are told apart by their `name`, as Kubernetes does with containers, volumes and variables: a patch says
what was added and what was changed, and not the whole list. Lists without names are replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Operation = dict[str, Any]


def diff(before: Any, after: Any, path: str = "") -> Iterator[Operation]:
    if before is after or before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _diff_objects(before, after, path)
    elif isinstance(before, list) and isinstance(after, list) and is_alignable(before, after):
        yield from _diff_lists(before, after, path)
    else:
        yield {"op": "replace", "path": path, "value": after}


def _diff_objects(before: dict[str, Any], after: dict[str, Any], path: str) -> Iterator[Operation]:
    for name in before:
        if name not in after:
            yield {"op": "remove", "path": join(path, name)}
    for name, value in after.items():
        if name in before:
            yield from diff(before[name], value, join(path, name))
        else:
            yield {"op": "add", "path": join(path, name), "value": value}


def _diff_lists(before: list[Any], after: list[Any], path: str) -> Iterator[Operation]:
    kept = {item["name"] for item in after}
    for index in range(len(before) - 1, -1, -1):  # from the back, so that numbers stay what they are
        if before[index]["name"] not in kept:
            yield {"op": "remove", "path": f"{path}/{index}"}
    known = {item["name"]: item for item in before}
    for index, item in enumerate(after):
        if item["name"] in known:
            yield from diff(known[item["name"]], item, f"{path}/{index}")
        else:
            yield {"op": "add", "path": f"{path}/{index}", "value": item}


def is_alignable(before: list[Any], after: list[Any]) -> bool:
    """Whether all items have names, no two the same one, and those in both lists come in the same order."""
    names = [[item.get("name") if isinstance(item, dict) else None for item in items] for items in (before, after)]
    if not all(isinstance(name, str) for name in (*names[0], *names[1])):
        return False
    first, second = names
    if len({*first}) < len(first) or len({*second}) < len(second):
        return False
    both = {*first} & {*second}
    return [name for name in first if name in both] == [name for name in second if name in both]


def join(path: str, name: str) -> str:
    """A JSON pointer (RFC 6901) one step further."""
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"
