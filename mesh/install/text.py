"""YAML that means the same to Go's parser as to Python's."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

# Texts that PyYAML writes plain and that kubectl and Helm would read as a number or as true: 1e3, 0o17, y.
_MISREAD: Final = re.compile(r"[-+.]?[0-9.].*|[yn]", re.IGNORECASE | re.DOTALL)


class Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: anchors are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _MISREAD.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


Dumper.add_representer(str, represent_text)


def dump(content: Any, **options: Any) -> str:
    """Keys stay in their order."""
    text: str = yaml.dump(content, Dumper=Dumper, sort_keys=False, **{"width": 120, **options})
    return text


def dump_scalar(content: Any) -> str:
    """A scalar, an empty dict or an empty list, on one line."""
    return dump(content, default_flow_style=True, width=1 << 20).removesuffix("...\n").strip()
