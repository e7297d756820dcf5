"""A YAML document as a tree that knows where in the text each of its nodes stands.

yaml's own nodes know it too, but not where a block ends (their end is the next token's start, comments and all), nor
where an alias stands. So the tree is made from the parser's events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import yaml

from mesh.inject.rendering import Loader

_MAX_DEPTH = 200
SCALAR, MAPPING, SEQUENCE, ALIAS = range(4)


@dataclass(slots=True)
class Node:
    """`start` and `end` are indices of the text; a block scalar ends where the next line begins.

    `column` is that of a block's first key or dash. `tail` is the last node within. A node with an anchor is another's
    too, and not `own`.
    """

    kind: int
    start: int
    end: int
    column: int
    flow: bool = False
    own: bool = True
    value: str = ""
    style: str | None = None
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)

    @property
    def tail(self) -> Node:
        children = [value for _, value in self.pairs] or self.items
        if self.kind == SCALAR or self.flow or not children:
            return self
        return children[-1].tail

    @property
    def is_block_scalar(self) -> bool:
        return self.style in ("|", ">")


def split(text: str) -> list[str]:
    """The documents of a stream, each with the lines that lead to it; together they are the text.

    Nothing that is deeper nested than any object of Kubernetes gets further: yaml's compiled half would crash.
    """
    starts, depth = [], 0
    events: Iterator[Any] = yaml.parse(text, Loader)
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise RecursionError
        if isinstance(event, yaml.DocumentStartEvent):
            starts.append(place(event)[0])
    return [text[start:end] for start, end in pairwise([0, *starts[1:], len(text)])]


def place(event: Any) -> tuple[int, int]:
    return event.start_mark.index, event.end_mark.index


def parse(text: str) -> Node | None:
    """The tree of a text with one document."""
    events: Iterator[Any] = yaml.parse(text, Loader)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            return compose(next(events), events)
    return None


def compose(event: Any, events: Iterator[Any]) -> Node:
    """The node that begins with `event`; its other events are taken."""
    start, end = place(event)
    column = event.start_mark.column
    if isinstance(event, yaml.AliasEvent):
        return Node(ALIAS, start, end, column, own=False)
    own = event.anchor is None
    if isinstance(event, yaml.ScalarEvent):
        return Node(SCALAR, start, end, column, own=own, value=event.value, style=event.style)
    kind = MAPPING if isinstance(event, yaml.MappingStartEvent) else SEQUENCE
    node = Node(kind, start, end, column, bool(event.flow_style), own)
    while not isinstance(event := next(events), yaml.CollectionEndEvent):
        child = compose(event, events)
        if kind == SEQUENCE:
            node.items.append(child)
        else:
            node.pairs.append((child, compose(next(events), events)))
    if node.flow:
        node.end = place(event)[1]
    elif kind == MAPPING:
        node.column, node.end = node.pairs[0][0].column, node.tail.end
    else:
        node.end = node.tail.end
    return node
