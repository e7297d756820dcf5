"""What the chart's schema says of the proxy's options agrees with their readers."""

from __future__ import annotations

import re
from typing import Any

import pytest

from injector.patch import values
from injector.patch.wishes import OPTIONS
from mesh.install.schema import describe_option, make_schema

# Of any option; each is taken by some of them and refused by others.
TEXTS = (
    *("init", "none", "true", "false", "auto", "legacy", "Always", "never", "abc", "a b", "-", "{{ .x }}"),
    *("0", "1", "007", "64", "65", "4294967295", "99999999999", "-1", "1.5", ".5", "5.", "100m", "64Mi", "1Gi", "1e3"),
    *("25", "25,", " 25 , 8000 - 8100 ", "8000-8100,25", "25;26", "70000", "90-80", "123456", ",,", "a-b"),
    *(
        "10.0.0.0/8",
        "10.0.0.0/8, fd00::/8",
        "10.0.0.1",
        "10.0.0.0/255.0.0.0",
        "::1",
        "fe80::1%eth0",
        "10.0.0.0/8/8",
        "::1/129",
    ),
    *("5s", "500ms", "2m", "1.5h", "0s", "5 s", "s", "5d", "name:tag", "host:5000/a/b@sha256:00", "/a"),
)
# What a pattern lets through, and its reader does not: the injector says so when it starts.
BEYOND: dict[Any, set[str]] = {
    values.parse_ports: {"0", "70000", "90-80"},
    values.parse_subnets: {"::1/129"},
    values.parse_duration: {"1.5h", "100m"},  # more than an hour
    values.parse_quantity: {"0"},
    values.parse_uid: {"4294967295"},
}


def allows(schema: dict[str, Any], text: str) -> bool:
    """As Go's regular expressions do, whose `$` is the end of the text."""
    if "enum" in schema:
        return text in schema["enum"]
    return re.fullmatch(schema["pattern"].removeprefix("^").removesuffix("$"), text) is not None


def takes(name: str, text: str) -> bool:
    try:
        OPTIONS[name].parse(text)
    except (ValueError, KeyError):
        return False
    return True


@pytest.mark.parametrize("name", OPTIONS)
def test_what_its_reader_takes_is_allowed_and_nonsense_is_not(name: str) -> None:
    schema = describe_option(OPTIONS[name])
    taken = {text for text in TEXTS if takes(name, text)}
    allowed = {text for text in TEXTS if allows(schema, text)}
    assert taken
    assert taken <= allowed
    assert allowed - taken == BEYOND.get(OPTIONS[name].parse, set())
    assert allows(schema, "")
    assert not allows(schema, "a b")


def test_every_option_is_in_the_schema_and_no_other() -> None:
    schema = make_schema()["properties"]["proxy"]
    assert schema["properties"].keys() == OPTIONS.keys()
    assert schema["additionalProperties"] is False


def test_choices_are_listed() -> None:
    assert describe_option(OPTIONS["native-sidecar"])["enum"] == ["true", "false", "", None]
    assert describe_option(OPTIONS["iptables-backend"])["enum"] == ["auto", "nft", "legacy", "", None]
