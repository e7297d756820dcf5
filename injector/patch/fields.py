"""Reading and changing JSON objects: what is not of the expected shape is refused by name, never a traceback.

Objects are changed by copy: whoever holds the one before still has it, and what is equal stays the same object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Fields = dict[str, Any]
_SHOWN_MAX = 80


class Refusal(Exception):
    """What cannot be done, as one sentence for whoever wrote the manifest."""


def show(text: str) -> str:
    """What was given, short and printable, for a message of one line."""
    return ascii(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "...")


def cut(text: object) -> str:
    """The same without quotes: a name that nobody has validated yet."""
    return show(str(text))[1:-1]


def read_fields(parent: Mapping[str, Any], name: str, where: str = "") -> Fields:
    """A member that is an object; a missing one is empty."""
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(f"{where}{name} must be an object")
    return value


def read_items(parent: Mapping[str, Any], name: str, where: str = "") -> list[Fields]:
    """A member that is a list of objects; a missing one is empty."""
    value = parent.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Refusal(f"{where}{name} must be a list of objects")
    return value


def read_texts(parent: Mapping[str, Any], name: str, where: str = "") -> dict[str, str]:
    """Labels or annotations. Null is empty text, as the API has it."""
    value: dict[Any, Any] = read_fields(parent, name, where)
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str | None):
            raise Refusal(f"{where}{name}: {show(str(key))} must be text, so put its value in quotes")
    return {key: text or "" for key, text in value.items()}


def change_member(fields: Fields, name: str, change: Callable[[Any], Any]) -> Fields:
    """The same object with this member changed; itself where that changes nothing. None removes the member."""
    before = fields.get(name)
    after = change(before)
    if after is before:
        return fields
    if after is None:
        return {key: value for key, value in fields.items() if key != name}
    return {**fields, name: after}
