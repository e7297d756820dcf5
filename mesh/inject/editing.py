"""Changing a YAML text: from the document's value before to the one after, with the least change of its lines.

What is added goes below its neighbours, in their column; what goes takes its lines along; nothing else is touched.
Where a change has no such place (a block that others share by an anchor, an odd layout) it is `Unsuited`, and the
caller writes the document anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from injector.patch.difference import is_alignable
from mesh.inject.rendering import render_block, render_flow
from mesh.inject.tree import MAPPING, SCALAR, SEQUENCE, Node, parse

_NO_CONTENT = re.compile(r"\s*(#.*)?")
_DASH = re.compile(r" *- +")
_COLON = re.compile(r"[ \t]*:")

Fields = dict[str, Any]


class Unsuited(Exception):
    """The text has no place for this change."""


def edit(text: str, before: Any, after: Any) -> str:
    """The text of one document, changed. The caller sees to it that it means `after`."""
    root = parse(text)
    if root is None or not is_same_kind(root, before, after):
        raise Unsuited
    editor = Editor(text)
    editor.change(root, before, after)
    return editor.apply()


def is_same_kind(node: Node, before: Any, after: Any) -> bool:
    """Whether the change can be made within the node, part by part."""
    if node.kind == MAPPING and isinstance(before, dict) and isinstance(after, dict):
        return any(name in after for name in name_pairs(node))
    if node.kind == SEQUENCE and isinstance(before, list) and isinstance(after, list):
        kept = {item.get("name") for item in after if isinstance(item, dict)}
        return (
            len(node.items) == len(before)
            and (is_alignable(before, after) or len(before) == len(after))
            and (len(before) == len(after) or any(item["name"] in kept for item in before))
        )
    return False


def name_pairs(node: Node) -> dict[str, tuple[Node, Node]]:
    return {key.value: (key, value) for key, value in node.pairs if key.kind == SCALAR}


class Editor:
    """Collects edits of the one text, then makes them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.edits: list[tuple[int, int, str]] = []

    def apply(self) -> str:
        pieces, at = [], 0
        for start, end, text in sorted(self.edits, key=lambda one: one[:2]):
            if start < at:
                raise Unsuited
            pieces += [self.text[at:start], text]
            at = end
        text = "".join([*pieces, self.text[at:]])
        return text if self.text.endswith("\n") else text.removesuffix("\n").removesuffix("\r")

    def change(self, node: Node, before: Any, after: Any) -> None:
        """Make a node mean `after`; `is_same_kind` holds."""
        if before == after:
            return
        if not node.own:
            raise Unsuited
        if node.kind == MAPPING:
            (self._change_flow_mapping if node.flow else self._change_mapping)(node, before, after)
        elif len(before) == len(after) and (node.flow or not is_alignable(before, after)):
            for item, old, new in zip(node.items, before, after, strict=True):
                self._change_item(item, old, new)
        else:
            (self._change_flow_sequence if node.flow else self._change_sequence)(node, before, after)

    def _change_item(self, item: Node, before: Any, after: Any) -> None:
        if before == after:
            return
        if not is_same_kind(item, before, after):
            raise Unsuited
        self.change(item, before, after)

    # Mappings

    def _change_mapping(self, node: Node, before: Fields, after: Fields) -> None:
        pairs = name_pairs(node)
        exchanged = find_exchanged(before, after)
        for name, old in before.items():
            if name in exchanged:
                key, value = self._find(pairs, name)
                start, end = self._lines(key.start, value)
                self._put(start, end, render_block({exchanged[name]: after[exchanged[name]]}, node.column))
            elif name not in after:
                self._put(*self._lines((pair := self._find(pairs, name))[0].start, pair[1]), "")
            elif name in pairs:
                self._change_value(*pairs[name], old, after[name], node.column)
        # What came in by a merge (<<) is said anew; so it counts here.
        added = {
            name: value
            for name, value in after.items()
            if name not in exchanged.values() and (name not in before or (name not in pairs and value != before[name]))
        }
        if added:
            last = max(
                (pair for name, pair in pairs.items() if name in after or name in exchanged), key=lambda p: p[0].start
            )
            self._insert(self._past(last[1]), render_block(added, node.column))

    def _find(self, pairs: dict[str, tuple[Node, Node]], name: str) -> tuple[Node, Node]:
        if name not in pairs:
            raise Unsuited
        return pairs[name]

    def _change_value(self, key: Node, value: Node, before: Any, after: Any, column: int) -> None:
        if before == after:
            return
        if value.own and is_same_kind(value, before, after):
            self.change(value, before, after)
            return
        colon = _COLON.match(self.text, key.end)
        if not colon:
            raise Unsuited
        start, end = colon.end(), max(colon.end(), self._content_end(value))
        if isinstance(after, dict | list) and after:
            # A list's dashes may stand in their key's column, as kubectl writes them.
            inner = render_block(after, column if isinstance(after, list) else column + 2)
            self._put(start, end, "\n" + inner.rstrip("\n"))
        else:
            self._put(start, end, "" if after is None else f" {render_flow(after)}")

    def _change_flow_mapping(self, node: Node, before: Fields, after: Fields) -> None:
        pairs = name_pairs(node)
        for name, old in before.items():
            if name in after and name in pairs:
                self._change_flow(pairs[name][1], old, after[name])
        self._drop([(key.start, value.end, key.value in after) for key, value in node.pairs])
        added = {name: value for name, value in after.items() if name not in pairs and value != before.get(name)}
        if added:
            end = max(value.end for key, value in node.pairs if key.value in after)
            self._put(end, end, f", {render_flow(added)[1:-1]}")

    def _change_flow(self, node: Node, before: Any, after: Any) -> None:
        if before == after:
            return
        if node.own and is_same_kind(node, before, after):
            self.change(node, before, after)
        else:
            self._put(node.start, node.end, render_flow(after))

    def _drop(self, spans: list[tuple[int, int, bool]]) -> None:
        """Take out of a flow what is not kept, each with one comma. Something is kept."""
        is_first = True
        for index, (start, end, is_kept) in enumerate(spans):
            is_first = is_first and not is_kept
            if not is_kept:
                self._put(*((start, spans[index + 1][0]) if is_first else (spans[index - 1][1], end)), "")

    # Sequences

    def _change_sequence(self, node: Node, before: list[Any], after: list[Any]) -> None:
        """Items are told apart by name."""
        known = {item["name"]: (place, item) for place, item in zip(node.items, before, strict=True)}
        kept = {item["name"] for item in after}
        for name, (place, _) in known.items():
            if name not in kept:
                self._put(*self._item_lines(node, place), "")
        at = self._head(node)
        added: dict[int, list[Any]] = {}
        for item in after:
            if item["name"] in known:
                place, old = known[item["name"]]
                self._change_item(place, old, item)
                at = self._past(place)
            else:
                added.setdefault(at, []).append(item)
        for position, items in added.items():
            self._insert(position, render_block(items, node.column))

    def _change_flow_sequence(self, node: Node, before: list[Any], after: list[Any]) -> None:
        known = {item["name"]: (place, item) for place, item in zip(node.items, before, strict=True)}
        kept = {item["name"] for item in after}
        at = next(place.start for name, (place, _) in known.items() if name in kept)
        self._drop([(place.start, place.end, name in kept) for name, (place, _) in known.items()])
        is_first = True
        for item in after:
            if item["name"] in known:
                place, old = known[item["name"]]
                self._change_flow(place, old, item)
                at, is_first = place.end, False
            else:
                self._put(at, at, f"{render_flow(item)}, " if is_first else f", {render_flow(item)}")

    def _item_lines(self, node: Node, item: Node) -> tuple[int, int]:
        start = self._line_start(item.start)
        if not _DASH.fullmatch(self.text[start : item.start]) or self.text.index("-", start) != start + node.column:
            raise Unsuited
        return start, self._past(item)

    def _head(self, node: Node) -> int:
        """Where a first item goes: below the key, above the comments of the item that is first now."""
        at = self._item_lines(node, node.items[0])[0]
        while at and _NO_CONTENT.fullmatch(self.text[(before := self._line_start(at - 1)) : at - 1]):
            at = before
        return at

    # Lines

    def _line_start(self, index: int) -> int:
        return self.text.rfind("\n", 0, index) + 1

    def _past(self, node: Node) -> int:
        """Where the line after a node's last one begins."""
        end = self._content_end(node)
        line_end = self.text.find("\n", end)
        return len(self.text) if line_end < 0 else line_end + 1

    def _content_end(self, node: Node) -> int:
        """The end of a node's last line with content, or within it. Blank lines may belong to a `|+`."""
        tail = node.tail
        if not tail.is_block_scalar:
            return tail.end
        content = self.text[tail.start : tail.end]
        header = content.partition("\n")[0]
        return tail.start + len(content.removesuffix("\n") if "+" in header else content.rstrip())

    def _lines(self, start: int, last: Node) -> tuple[int, int]:
        """The whole lines of a pair, which must have them for itself."""
        begin = self._line_start(start)
        if self.text[begin:start].strip(" "):
            raise Unsuited
        return begin, self._past(last)

    def _insert(self, at: int, lines: str) -> None:
        if at == len(self.text) and not self.text.endswith("\n"):
            lines = "\n" + lines.rstrip("\n")
        self._put(at, at, lines)

    def _put(self, start: int, end: int, text: str) -> None:
        self.edits.append((start, end, text.replace("\n", self.newline)))


def find_exchanged(before: Iterable[str], after: Iterable[str]) -> dict[str, str]:
    """Members that have another name now and stand where they stood, as a probe's `tcpSocket` that became `httpGet`."""
    old, new = list(before), list(after)
    if len(old) != len(new):
        return {}
    return {
        was: now for was, now in zip(old, new, strict=True) if was != now and was not in after and now not in before
    }
