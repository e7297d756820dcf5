"""Addresses, names, durations and sizes, right and wrong."""

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.values import (
    ValueProblem,
    is_ipv4,
    is_ipv6,
    parse_address,
    parse_authority,
    parse_count,
    parse_duration,
    parse_name,
    parse_path,
    parse_size,
)
from proxy.route.model import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("[::1]:65535", Address("::1", 65_535)),
        ("[::ffff:10.0.0.1]:1", Address("::ffff:10.0.0.1", 1)),
        ("Emoji.Example:8080", Address("emoji.example", 8080)),
        ("emoji.example.:8080", Address("emoji.example.", 8080)),
        ("my_service:1", Address("my_service", 1)),
        ("3com.example:1", Address("3com.example", 1)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a",
        "a:",
        ":80",
        "a:0",
        "a:65536",
        "a:-1",
        "a:+1",
        "a: 1",
        "a:1 ",
        " a:1",
        "a:1_0",
        "a:\u0661",
        "::1:80",
        "[::1]",
        "[::1]80",
        "[a]:80",
        "[1.2.3.4]:80",
        "[::1%lo]:80",
        "10.0.0.256:1",
        "1.2.3:1",
        "1:1",
        "01.2.3.4:1",
        "-a:1",
        "a-:1",
        "a..b:1",
        ".a:1",
        "é:1",
        "a/b:1",
        "http://a:1",
        "u@a:1",
        "x" * 64 + ":1",
        "a." * 127 + "a:1",
        "*:1",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueProblem):
        parse_address(text)


def test_port_zero_is_for_listening_only() -> None:
    assert parse_address("a:0", any_port=True) == Address("a", 0)


@settings(deadline=None)
@given(st.ip_addresses().map(str))
def test_ip_addresses_agree_with_the_standard_library(text: str) -> None:
    assert is_ipv4(text) == (":" not in text)
    assert is_ipv6(text) == (":" in text)


@settings(deadline=None)
@given(st.text("0123456789abcdefg:.", max_size=20))
def test_what_is_none_agrees_with_the_standard_library(text: str) -> None:
    for check, parse in ((is_ipv4, ipaddress.IPv4Address), (is_ipv6, ipaddress.IPv6Address)):
        try:
            expected = bool(parse(text))
        except ValueError:
            expected = False
        assert check(text) == expected


@pytest.mark.parametrize(
    ("text", "authority"),
    [
        ("*", "*"),
        ("Web", "web"),
        ("web.example.:80", "web.example:80"),
        ("*.Example", "*.example"),
        ("*.example:080", "*.example:80"),
        ("[::1]", "[::1]"),
        ("[::1]:80", "[::1]:80"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_authorities(text: str, authority: str) -> None:
    assert parse_authority(text) == authority


@pytest.mark.parametrize(
    "text", ["", "*.", "*:80", "a*", "*a", "a.*", "*.*.a", "a:", "a:0", "::1", "*.10.0.0.1", "*.[::1]", "a b", "*.:1"]
)
def test_what_is_no_authority(text: str) -> None:
    with pytest.raises(ValueProblem, match="is no authority"):
        parse_authority(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5), ("1.5m", 90), ("1h", 3600), ("0.001s", 0.001), ("8784h", 31_622_400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "0s",
        "-1s",
        "+1s",
        "1 s",
        "1S",
        "1d",
        "1e3s",
        ".5s",
        "5.s",
        "1.2.3s",
        "\u0665s",
        "9000h",
        "0.5ms",
        "infs",
        "nans",
    ],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueProblem, match=r"is no duration|is out of range"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("65536", 65_536), ("64KiB", 65_536), ("1MiB", 1 << 20), ("1GiB", 1 << 30), ("2kB", 2000), ("7B", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "0", "-1", "1.5MiB", "1 KiB", "1kib", "1K", "2GiB", "\u0661", "1" * 20])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueProblem, match=r"is no size|is out of range"):
        parse_size(text)


@pytest.mark.parametrize(
    ("parse", "good", "bad"),
    [
        (parse_count, ["1", "007", "100"], ["", "0", "-1", "1.5", "1_0", "\u0661", "99999999999"]),
        (parse_name, ["a", "emoji.v1:80/x_y-z"], ["", "a b", "é", "[a]", "x" * 254]),
        (parse_path, ["/", "/a.b/c%20"], ["", "a", "/a?b", "/a b", "/é", "/\n"]),
    ],
)
def test_other_values(parse: Callable[[str], object], good: list[str], bad: list[str]) -> None:
    for text in good:
        parse(text)
    for text in bad:
        with pytest.raises(ValueProblem):
            parse(text)
