"""Objects from the text of one manifest: YAML with any number of documents, or JSON; Lists are taken apart.

Built from the parser's events, so that depth and size are bounded before anything recurses, each object knows its line,
and nothing is expanded: aliases, merge keys and tags, which can make gigabytes out of a line, are refused. Scalars mean
what they mean to kubectl (YAML 1.1), except that times stay text, as in the API.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import yaml
from yaml.constructor import SafeConstructor

MAX_DEPTH = 32
MAX_NODES = 500_000
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTRUCTOR = SafeConstructor()
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # never goes back, whatever the text
_TAG = "tag:yaml.org,2002:"


class ManifestError(Exception):
    """The text is no manifest; the message begins with line and column where they are known."""


class Document(NamedTuple):
    """An object as written, and the line where it begins; 0 where that is not known."""

    raw: dict[str, Any]
    line: int


def parse(text: str, is_json: bool) -> list[Document]:
    documents = [_read_json(text)] if is_json else _Builder(text).build()
    return [found for document in documents for found in _take_apart(document)]


def _read_json(text: str) -> Document:
    if _count_values(text) > MAX_NODES:
        raise ManifestError(f"more than {MAX_NODES} values; split the file")
    try:
        return _check(json.loads(text), 0)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{error.lineno}:{error.colno}: no valid JSON: {error.msg}") from None
    except (ValueError, RecursionError):
        raise ManifestError("no valid JSON: too long a number or too deep") from None


def _count_values(text: str) -> int:
    """At least as many as the JSON has, before memory goes into them: each follows a bracket or a comma."""
    count = sum(map(text.count, "[{,"))
    return sum(map(_STRING.sub("", text).count, "[{,")) if count > MAX_NODES else count


def _take_apart(document: Document) -> Iterator[Document]:
    """The items of a List (`kubectl get -o yaml`) or a ServiceList (the API itself); else the object."""
    kind, items = str(document.raw.get("kind")), document.raw.get("items")
    if not kind.endswith("List") or not isinstance(items, list):
        yield document
        return
    # The items of a typed list are of its kind, and do not repeat it.
    common = {} if kind == "List" else {"apiVersion": document.raw.get("apiVersion"), "kind": kind.removesuffix("List")}
    for item in items:
        yield _check({**common, **item} if isinstance(item, dict) else item, getattr(item, "line", document.line))


def _check(raw: Any, line: int) -> Document:
    if not isinstance(raw, dict):
        raise ManifestError(f"{line or 1}:1: an object of Kubernetes is a mapping with apiVersion, kind and metadata")
    return Document(raw, line)


class _Mapping(dict[str, Any]):
    """Knows its line."""

    __slots__ = ("line",)
    line: int


class _Builder:
    """Turns parser events into plain values."""

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=_LOADER)
        self._text = text
        self._nodes = 0

    def build(self) -> list[Document]:
        documents = []
        try:
            for event in self._events:
                if type(event) is not yaml.DocumentStartEvent:
                    continue
                first = next(self._events)
                value = self._value(first, 0)
                if value is not None:
                    documents.append(_check(value, _line(first)))
        except yaml.reader.ReaderError as error:
            line = self._text.count("\n", 0, error.position) + 1
            raise ManifestError(f"{line}:1: YAML holds no such character (number {error.character})") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{mark.line + 1}:{mark.column + 1}: " if mark else ""
            context = f" {error.context}" if error.context else ""
            raise ManifestError(f"{place}no valid YAML{context}: {error.problem}") from None
        return documents

    def _value(self, event: Any, depth: int) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _refuse(event, f"more than {MAX_NODES} values; split the file")
        if depth > MAX_DEPTH:
            raise _refuse(event, f"nested more than {MAX_DEPTH} deep")
        if type(event) is yaml.AliasEvent:
            raise _refuse(event, f"aliases such as *{event.anchor} are not supported; write the value out")
        if event.tag not in (None, "!"):
            raise _refuse(event, f"tags such as {event.tag} are not supported; leave it out")
        if type(event) is yaml.ScalarEvent:
            return self._scalar(event)
        return self._sequence(depth) if type(event) is yaml.SequenceStartEvent else self._mapping(event, depth)

    def _scalar(self, event: Any) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return _resolve(event.value)
        except ValueError:
            raise _refuse(event, "too long a number") from None

    def _sequence(self, depth: int) -> list[Any]:
        values = []
        while type(event := next(self._events)) is not yaml.SequenceEndEvent:
            values.append(self._value(event, depth + 1))
        return values

    def _mapping(self, start: Any, depth: int) -> _Mapping:
        values = _Mapping()
        values.line = _line(start)
        while type(event := next(self._events)) is not yaml.MappingEndEvent:
            if type(event) is not yaml.ScalarEvent:
                raise _refuse(event, "a key is text; write NAME: VALUE")
            key = event.value
            if key == "<<" and event.implicit[0]:
                raise _refuse(event, "merge keys (<<) are not supported; write the values out")
            if key in values:
                raise _refuse(event, f"{key[:80]} is given twice")
            values[key] = self._value(next(self._events), depth + 1)
        return values


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _refuse(event: Any, problem: str) -> ManifestError:
    return ManifestError(f"{_line(event)}:{event.start_mark.column + 1}: {problem}")


@lru_cache(4096)
def _resolve(text: str) -> Any:
    """What a plain scalar means. Base 60 (`1:30`) is left out: it is always a mistake here."""
    candidates = yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], [])
    tag = next((tag for tag, pattern in candidates if pattern.match(text)), "").removeprefix(_TAG)
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() in ("yes", "true", "on")
    if tag in ("int", "float") and ":" not in text:
        node = yaml.ScalarNode(_TAG + tag, text)
        return _CONSTRUCTOR.construct_yaml_int(node) if tag == "int" else _CONSTRUCTOR.construct_yaml_float(node)
    return text
