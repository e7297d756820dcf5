"""A text of manifests: its documents as values, and the text again when some of them have changed.

Invariant: what is written means exactly the values that were asked for. It is read back; where the least change of the
lines does not mean that, the one document is written anew, without its comments.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

from mesh.inject.editing import Unsuited, edit
from mesh.inject.fault import Unusable
from mesh.inject.rendering import dump, load
from mesh.inject.sources import Source
from mesh.inject.tree import split


class Document(NamedTuple):
    """One of a text's documents. `is_json` says how it is written."""

    text: str
    value: Any
    is_json: bool = False

    def rewrite(self, after: Any) -> tuple[str, bool]:
        """The text that means `after`, and whether comments were lost on the way."""
        if after is self.value:
            return self.text, False
        if self.is_json:
            return write_json(after, self.text), False
        try:
            text = edit(self.text, self.value, after)
            if load(text) == after:
                return text, False
        except (Unsuited, yaml.YAMLError):
            pass
        head = "---\n" if self.text.lstrip().startswith("---") else ""
        return head + dump(after, is_flow=False), "#" in self.text


def read_documents(source: Source) -> list[Document]:
    name, text = source
    if text.lstrip()[:1] in ("{", "["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            pass  # YAML in flow style looks alike
        else:
            return [Document(text, expect_object(name, value, 0), True)]
    lines = 0
    documents = []
    try:
        for part in split(text):
            documents.append(Document(part, expect_object(name, load(part), lines)))
            lines += part.count("\n")
    except yaml.YAMLError as error:
        raise Unusable(explain(name, text, error, lines)) from None
    except (RecursionError, ValueError):
        raise Unusable(f"{name} is no manifest: it is nested too deep, or has a number that is none") from None
    return documents


def expect_object(name: str, value: Any, lines: int) -> Any:
    """A manifest is an object; a document without anything is none, and no fault."""
    if value is None or isinstance(value, dict):
        return value
    kind = "a list" if isinstance(value, list) else f"only {str(value)[:40]!r}"
    raise Unusable(f"{name} is no manifest: the document from line {lines + 1} on is {kind}, and no object")


def explain(name: str, text: str, error: yaml.YAMLError, lines: int) -> str:
    mark = getattr(error, "problem_mark", None)
    place = f" line {mark.line + 1 + lines}:" if mark else ""
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    hint = "; a Helm chart has to be rendered first (helm template)" if "{{" in text else ""
    return f"{name} is not YAML:{place} {problem}{hint}"


def write_json(value: Any, like: str) -> str:
    """As it was written before: the depth of its lines, or all on one."""
    lines = like.strip().split("\n")
    indent = len(lines[1]) - len(lines[1].lstrip()) if len(lines) > 1 else None
    separators = (",", ":") if indent is None and '": ' not in like else None
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    return text + like[len(like.rstrip()) :]


def join(texts: list[str]) -> str:
    """Texts of several sources as one stream."""
    stream = ""
    for text in texts:
        if stream and not text.lstrip().startswith("---"):
            stream += "---\n"
        stream += text if text.endswith("\n") else text + "\n"
    return stream if len(texts) > 1 else "".join(texts)


def change_items(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A document's value with each of its objects changed: itself, or the items of a list of objects."""
    if not isinstance(value, dict):
        return value
    items = value.get("items")
    if not (str(value.get("kind", "")).endswith("List") and isinstance(items, list)):
        return change(value)
    after = [change_items(item, change) for item in items]
    return value if all(new is old for new, old in zip(after, items, strict=True)) else {**value, "items": after}
