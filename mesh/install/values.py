"""The values of one installation, by dotted name: read from files and `--set`, checked, and always complete.

What is wrong is said in one sentence that names the key and what is allowed. Maps are merged as Helm merges them, an
entry that is null is removed; but an empty map, which there says nothing, empties them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

import yaml

from injector.patch.fields import Refusal
from injector.patch.wishes import OPTIONS, read
from mesh.install.keys import BY_NAME, DEFAULTS, Key, Kind

_UNESCAPED_DOT: Final = re.compile(r"(?<!\\)\.")
_PYTHON: Final[Mapping[Kind, type[Any]]] = {
    Kind.TEXT: str,
    Kind.FLAG: bool,
    Kind.NUMBER: int,
    Kind.MAP: dict,
    Kind.LIST: list,
}
_WORDS: Final = {
    Kind.TEXT: "a text",
    Kind.FLAG: "true or false",
    Kind.NUMBER: "a whole number",
    Kind.MAP: "a map of texts",
    Kind.LIST: "a list",
}
EXCLUSIVE: Final = "createNamespace needs rights that singleNamespace does without; leave one of them out"


class ValuesError(Exception):
    """A value is wrong, in one sentence."""


def complete(*changes: Mapping[str, Any], stored: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The defaults, or in their place what is stored, with these changes, later ones over earlier ones, checked."""
    values = {**DEFAULTS, **stored}
    for change in changes:
        for name, given in change.items():
            values[name] = merge(values[name], given)
    check_together(values)
    return values


def merge(present: Any, given: Any) -> Any:
    if not isinstance(present, dict) or not isinstance(given, dict):
        return given
    if not given:
        return {}
    return {name: item for name, item in {**present, **given}.items() if item is not None}


def changes_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not the defaults, sorted."""
    return {name: values[name] for name in sorted(values) if values[name] != DEFAULTS[name]}


def check_together(values: Mapping[str, Any]) -> None:
    """What each value alone cannot say."""
    for name, given in values["proxy"].items():
        check_option(name, given)
    for name in values["locked"]:
        check_option(name, "")
    if values["singleNamespace"] and values["createNamespace"]:
        raise ValuesError(EXCLUSIVE)


def check_option(name: str, given: str) -> None:
    """One of the injector's options: what would be refused as an annotation is refused here."""
    if name not in OPTIONS:
        near = get_close_matches(name, OPTIONS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPTIONS)}"
        raise ValuesError(f"there is no value proxy.{name}; {hint}")
    if not given:
        return  # as if it were not said
    try:
        read(name, OPTIONS[name], given, f"proxy.{name}")
    except Refusal as refusal:
        raise ValuesError(str(refusal)) from None


def read_file(text: str, origin: str) -> dict[str, Any]:
    """The values of a YAML file, nested as in the chart's values.yaml."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ValuesError(f"{origin} is no YAML{where}; write values as in the chart's values.yaml") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ValuesError(f"{origin} holds no map of values; write them as in the chart's values.yaml")
    return {name: check(name, given, origin) for name, given in flatten(content, "")}


def flatten(content: Mapping[Any, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    """The values in nested maps, by dotted name; a map that is a value itself stays one."""
    for part, item in content.items():
        name = f"{prefix}{part}"
        if isinstance(item, dict) and name not in BY_NAME and is_group(name):
            yield from flatten(item, f"{name}.")
        else:
            yield name, item


def is_group(name: str) -> bool:
    return any(known.startswith(f"{name}.") for known in BY_NAME)


def read_setting(setting: str) -> dict[str, Any]:
    """The value of one `--set KEY=VALUE`; of a map also KEY.ENTRY=VALUE, with `\\.` for a dot in ENTRY."""
    path, equals, text = setting.partition("=")
    if not equals or not path:
        raise ValuesError(f"--set {setting} is no KEY=VALUE; write for example --set controlPlane.replicas=2")
    entry = find_entry(path)
    if entry:
        name, item = entry
        return {name: check(name, {item: None if text == "null" else text}, "--set")}
    key = BY_NAME.get(path)
    return {path: check(path, text if key is not None and key.kind is Kind.TEXT else read_scalar(text), "--set")}


def find_entry(path: str) -> tuple[str, str] | None:
    """The map and its entry that a path names, if it does."""
    parts = [part.replace("\\.", ".") for part in _UNESCAPED_DOT.split(path)]
    for length in range(1, len(parts)):
        key = BY_NAME.get(".".join(parts[:length]))
        if key is not None and key.kind is Kind.MAP:
            return key.name, ".".join(parts[length:])
    return None


def read_scalar(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def check(name: str, given: Any, origin: str) -> Any:
    """The value, if it may be that of this key."""
    key = BY_NAME.get(name)
    if key is None:
        raise ValuesError(f"{origin}: {explain_unknown(name)}")
    if not fits(key, given):
        raise ValuesError(f"{origin}: {name} is {given!r}, and must be {describe(key)}")
    return given


def fits(key: Key, given: Any) -> bool:
    if not isinstance(given, _PYTHON[key.kind]) or (key.kind is Kind.NUMBER and isinstance(given, bool)):
        return False
    match key.kind:
        case Kind.TEXT if key.choices:
            return given in key.choices
        case Kind.TEXT:
            return not key.pattern or re.fullmatch(key.pattern, given) is not None
        case Kind.NUMBER:
            return bool(key.least <= given <= key.most)
        case Kind.MAP:
            return all(isinstance(part, str) and isinstance(item, str | None) for part, item in given.items())
        case Kind.LIST:
            return all(isinstance(item, _PYTHON[key.items]) for item in given)
        case Kind.FLAG:
            return True


def describe(key: Key) -> str:
    """What a value may be, in words."""
    if key.choices:
        return " or ".join(key.choices)
    if key.kind is Kind.NUMBER:
        return f"a whole number from {key.least} to {key.most}"
    if key.kind is Kind.LIST and key.items is Kind.MAP:
        return "a list of maps"
    return key.allowed or _WORDS[key.kind]


def explain_unknown(name: str) -> str:
    if is_group(name):
        return f"{name} is a group of values: {', '.join(known for known in BY_NAME if known.startswith(f'{name}.'))}"
    near = get_close_matches(name, BY_NAME, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(BY_NAME)}"
    return f"there is no value {name}; {hint}"
