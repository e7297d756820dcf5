"""A tree as the text of a Helm template, one line for each of YAML's. Nodes become expressions of Go's templates.

Scalars pass through `toJson`, whose output is YAML whatever is in them. Numbers pass through `int`, since Helm reads
those of a file as floats.
"""

from __future__ import annotations

import json
from typing import Final

from mesh.install.text import dump_scalar
from mesh.install.tree import (
    Both,
    Choice,
    Condition,
    Differs,
    Either,
    Encoded,
    Equals,
    Exceeds,
    If,
    Is,
    Namespace,
    Node,
    Not,
    Text,
    Tree,
    Value,
    encode_json,
)

_STEP: Final = 2
_NODES: Final = (Value, Namespace, Text, Encoded, Choice)


class Templates:
    """Knows which values are maps, lists or numbers, since they are written differently."""

    def __init__(self, blocks: frozenset[str], numbers: frozenset[str]) -> None:
        self._blocks = blocks
        self._numbers = numbers

    def condition(self, condition: Condition) -> str:
        """The condition as an expression, in parentheses where it needs them."""
        match condition:
            case Is(key):
                return f".Values.{key}"
            case Differs(key, default):
                return f"(ne (toJson .Values.{key}) {go_string(encode_json(default))})"
            case Equals(key, wanted):
                return f"(eq .Values.{key} {go_string(wanted)})"
            case Exceeds(key, number):
                return f"(gt (int .Values.{key}) {number})"
            case Not(inner):
                return f"(not {self.condition(inner)})"
            case Both(first, second):
                return f"(and {self.condition(first)} {self.condition(second)})"
            case Either(conditions):
                return f"(or {' '.join(map(self.condition, conditions))})"

    def expression(self, node: Node | str | int) -> str:
        match node:
            case Value(key, otherwise):
                found = f"(int .Values.{key})" if key in self._numbers else f".Values.{key}"
                return f"({found} | default {go_string(otherwise)})" if otherwise else found
            case Namespace():
                return ".Release.Namespace"
            case Text(parts):
                pattern = "".join(part.replace("%", "%%") if isinstance(part, str) else "%v" for part in parts)
                given = " ".join(self.expression(part) for part in parts if not isinstance(part, str))
                return f"(printf {go_string(pattern)} {given})"
            case Encoded(key):
                return f"(toJson .Values.{key})"
            case Choice(condition, then, otherwise):
                first, second = self.expression(then), self.expression(otherwise)
                return f"(ternary {first} {second} (not (not {self.condition(condition)})))"
            case str():
                return go_string(node)
            case int():
                return str(node)

    def lines(self, tree: Tree, indent: int = 0) -> list[str]:
        """The lines of a dict or list."""
        if isinstance(tree, dict):
            return [line for key, item in tree.items() for line in self._entry(key, item, indent)]
        return [line for item in tree for line in self._item(item, indent)]

    def _entry(self, key: str, item: Tree, indent: int) -> list[str]:
        if isinstance(item, If):
            return self.guard(item.condition, self._entry(key, item.then, indent))
        head = f"{' ' * indent}{dump_scalar(key)}:"
        if isinstance(item, Value) and item.key in self._blocks:
            return [f"{head} {{{{- toYaml .Values.{item.key} | nindent {indent + _STEP} }}}}"]
        if isinstance(item, dict | list) and item:
            return [head, *self.lines(item, indent + (_STEP if isinstance(item, dict) else 0))]
        return [f"{head} {self._scalar(item)}"]

    def _item(self, item: Tree, indent: int) -> list[str]:
        if isinstance(item, If):
            return self.guard(item.condition, self._item(item.then, indent))
        if not isinstance(item, dict):
            return [f"{' ' * indent}- {self._scalar(item)}"]
        first, *others = self.lines(item, indent + _STEP)
        assert not first.startswith("{{"), f"the first key of a list's item stands under a condition: {first}"
        return [f"{' ' * indent}- {first.lstrip()}", *others]

    def guard(self, condition: Condition, lines: list[str]) -> list[str]:
        """The lines, there only where the condition holds."""
        return [f"{{{{- if {self.condition(condition).removeprefix('(').removesuffix(')')} }}}}", *lines, "{{- end }}"]

    def _scalar(self, item: Tree) -> str:
        if isinstance(item, _NODES):
            return f"{{{{ {self.expression(item)} | toJson }}}}"
        written = dump_scalar(item)
        assert "{{" not in written, f"it would be read as a template: {written}"
        return written


def go_string(content: str) -> str:
    """A literal of Go's templates."""
    return f"`{content}`" if '"' in content and "`" not in content else json.dumps(content)
