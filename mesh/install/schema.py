"""The chart's values.schema.json: what Helm checks values by, the same rules as `mesh install`'s.

A pattern cannot say all that the readers of the proxy's options know, such as that 90-80 is no range of ports: what it
lets through all the same is left out by the injector, which says so. It refuses nothing that they take.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from injector.patch import values
from injector.patch.wishes import OPTIONS, Option
from mesh.install.keys import KEYS, Key, Kind

_LISTED: Final = re.compile(r", | or ")
_PORT: Final = r"\s*[0-9]{1,5}\s*(-\s*[0-9]{1,5}\s*)?"
_ADDRESS: Final = r"([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)"
_SUBNET: Final = rf"\s*{_ADDRESS}(/[0-9.]+)?\s*"
_PATTERNS: Final[Mapping[Callable[[str], Any], str]] = {
    values.parse_ports: rf"({_PORT}|\s*)(,({_PORT}|\s*))*",
    values.parse_subnets: rf"({_SUBNET}|\s*)(,({_SUBNET}|\s*))*",
    values.parse_duration: r"0|[0-9]{1,9}(\.[0-9]{1,9})?(ms|s|m|h)",
    values.parse_quantity: r"([0-9]{1,18}(\.[0-9]{0,9})?|\.[0-9]{1,9})(m|k|Ki|M|Mi|G|Gi|T|Ti)?",
    values.parse_image: r"[A-Za-z0-9][A-Za-z0-9_./:@\[\]-]{0,499}",
    values.parse_uid: r"0{0,9}[1-9][0-9]{0,9}",
    values.parse_workers: r"0{0,9}([1-9]|[1-5][0-9]|6[0-4])",
}


def make_schema() -> dict[str, Any]:
    root: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **make_group(),
    }
    root["properties"]["global"] = {"type": "object"}  # Helm adds it to the values of a chart in a chart
    for key in KEYS:
        *groups, last = key.name.split(".")
        place = root
        for group in groups:
            place = place["properties"].setdefault(group, make_group())
        place["properties"][last] = describe_type(key)
    root["properties"]["proxy"] |= {
        "additionalProperties": False,
        "properties": {name: describe_option(option) for name, option in OPTIONS.items()},
    }
    root["properties"]["locked"]["items"]["enum"] = list(OPTIONS)
    return root


def make_group() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def describe_type(key: Key) -> dict[str, Any]:
    found: dict[str, Any] = {"type": key.kind.value, "description": key.meaning}
    if key.choices:
        found["enum"] = list(key.choices)
    if key.pattern:
        found["pattern"] = f"^({key.pattern})$"
    if key.kind is Kind.NUMBER:
        found |= {"minimum": key.least, "maximum": key.most}
    if key.kind is Kind.MAP:
        found["additionalProperties"] = {"type": ["string", "null"]}
    if key.kind is Kind.LIST:
        found["items"] = {"type": key.items.value}
    return found


def describe_option(option: Option) -> dict[str, Any]:
    """An empty text says nothing, null takes away what another file of values says."""
    found: dict[str, Any] = {"type": ["string", "null"], "description": option.allowed}
    if choices := list_choices(option):
        return {**found, "enum": [*choices, "", None]}
    return {**found, "pattern": f"^({_PATTERNS[option.parse]})?$"}


def list_choices(option: Option) -> list[str]:
    """The values that `allowed` lists, where it does: its own reader takes each of them."""
    words = _LISTED.split(option.allowed)
    try:
        for word in words:
            option.parse(word)
    except (ValueError, KeyError):
        return []
    return words
