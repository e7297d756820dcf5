"""YAML as Kubernetes reads it: values from text, and text for values.

Kubernetes' YAML is neither 1.1 nor 1.2: no dates, no base 60, but `y` and `0644` as in 1.1. What is written is quoted
wherever any of the readers might take a string for something else.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_WIDTH = 1 << 30  # lines are not folded: a diff shows what changed
# A string that some reader may take for a number, a time, or a word of another meaning.
_AMBIGUOUS = re.compile(
    r"(?:[-+]?(?:0[xob][\da-f_]*|[\d.][\d_.:,-]*(?:e[-+]?\d*)?)|y|n|yes|no|on|off|true|false|null|~|=|<<)$",
    re.IGNORECASE,
)
_LIKE_TEXT = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value")


class Loader(yaml.CSafeLoader):
    """Dates, `=` and 10:30 are text, as they are to Kubernetes."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _LIKE_TEXT and ":int" not in tag]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)


class Dumper(yaml.CSafeDumper):
    """Block style, members in their order, nothing shared by anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def represent_text(dumper: Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else '"' if _AMBIGUOUS.match(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


Dumper.add_representer(str, represent_text)


def load(text: str) -> Any:
    """The value of a text with one document; None if it has none."""
    return yaml.load(text, Loader)


def render_block(value: Any, column: int) -> str:
    """The value in block style, each line indented to `column` and ended."""
    text = dump(value, is_flow=False)
    return "".join(f"{' ' * column}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def render_flow(value: Any) -> str:
    """The value on one line: as `{a: b}`, or a scalar."""
    return dump(value, is_flow=True).removesuffix("\n").removesuffix("\n...")


def dump(value: Any, is_flow: bool) -> str:
    text: str = yaml.dump(
        value, Dumper=Dumper, default_flow_style=is_flow, sort_keys=False, allow_unicode=True, width=_WIDTH
    )
    return text
