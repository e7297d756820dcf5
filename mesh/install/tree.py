"""Kubernetes objects with open places, and what may stand in them: the values of an installation.

The builder makes one such tree. `evaluate` fills it in for `mesh install`, `mesh.install.template` writes it as a Helm
template; both read the same nodes, so the two ways to install cannot differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

Values = Mapping[str, Any]  # by the dotted name, complete (values.py)
Tree = Any  # dicts and lists as in YAML, with the nodes below at any place


class Value(NamedTuple):
    """A value as it is; `otherwise` where it is empty."""

    key: str
    otherwise: str = ""


class Namespace(NamedTuple):
    """The namespace into which is installed."""


class Text(NamedTuple):
    """A string made of several parts."""

    parts: tuple[str | Value | Namespace | Encoded | Choice, ...]


class Encoded(NamedTuple):
    """A value as JSON in a string."""

    key: str


class Is(NamedTuple):
    """A flag is set, a text, map or list is not empty."""

    key: str


class Differs(NamedTuple):
    """A value is not its default."""

    key: str
    default: Any


class Equals(NamedTuple):
    key: str
    text: str


class Exceeds(NamedTuple):
    key: str
    number: int


class Not(NamedTuple):
    condition: Condition


class Both(NamedTuple):
    first: Condition
    second: Condition


class Either(NamedTuple):
    conditions: tuple[Condition, ...]


Condition = Is | Differs | Equals | Exceeds | Not | Both | Either


class If(NamedTuple):
    """In a list an item, in a dict a value with its key: there only under a condition."""

    condition: Condition
    then: Tree


class Choice(NamedTuple):
    """One of two texts or numbers."""

    condition: Condition
    then: str | int | Text
    otherwise: str | int | Text


Node = Value | Namespace | Text | Encoded | Choice
NAMESPACE: Final = Namespace()
# What Go's encoder writes as escapes, so that the same value gives the same text in both.
_ESCAPED: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def text(*parts: str | Value | Namespace | Encoded | Choice) -> Text:
    return Text(parts)


def either(*conditions: Condition) -> Either:
    return Either(conditions)


def encode_json(value: Any) -> str:
    """JSON as Helm's `toJson` writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).translate(_ESCAPED)


def holds(condition: Condition, values: Values) -> bool:
    match condition:
        case Is(key):
            return bool(values[key])
        case Differs(key, default):
            return bool(values[key] != default)
        case Equals(key, wanted):
            return bool(values[key] == wanted)
        case Exceeds(key, number):
            return bool(values[key] > number)
        case Not(inner):
            return not holds(inner, values)
        case Both(first, second):
            return holds(first, values) and holds(second, values)
        case Either(conditions):
            return any(holds(inner, values) for inner in conditions)


def evaluate(tree: Tree, values: Values, namespace: str) -> Any:
    """The tree with its places filled in; conditions decide in dicts and lists."""
    match tree:
        case Value(key, otherwise):
            return values[key] or otherwise if otherwise else values[key]
        case Namespace():
            return namespace
        case Text(parts):
            return "".join(part if isinstance(part, str) else str(evaluate(part, values, namespace)) for part in parts)
        case Encoded(key):
            return encode_json(values[key])
        case Choice(condition, then, otherwise):
            return evaluate(then if holds(condition, values) else otherwise, values, namespace)
        case dict():
            kept = {key: chosen for key, item in tree.items() if (chosen := choose(item, values)) is not None}
            return {key: evaluate(item, values, namespace) for key, item in kept.items()}
        case list():
            return [
                evaluate(chosen, values, namespace) for item in tree if (chosen := choose(item, values)) is not None
            ]
    return tree


def choose(item: Tree, values: Values) -> Tree:
    """What an item of a dict or list comes to before it is filled in: None where it is left out."""
    while isinstance(item, If):
        if not holds(item.condition, values):
            return None
        item = item.then
    return item
