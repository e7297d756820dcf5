"""The small texts of a configuration: addresses, names, durations, sizes. Pure; each failure says what is allowed.

What they have in common with `mesh proxy`'s arguments, which are read with the same functions.
"""

from __future__ import annotations

from proxy.route.model import HTTP1, HTTP2, Address
from proxy.route.pattern import PatternError
from proxy.route.regex import Regex

MAX_WEIGHT = 1000
MAX_DURATION_S = 366 * 86_400.0
MAX_SIZE_BYTES = 1 << 30
DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
SIZE_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1, "": 1}
NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class ValueProblem(Exception):
    """The text is not of its kind; the message quotes it and says what would be."""


def parse_address(text: str, any_port: bool = False) -> Address:
    """Read HOST:PORT, where HOST is an IPv4 address, an IPv6 one in brackets, or a name. `any_port` allows port 0."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port:
        raise ValueProblem(f"'{text}' is no HOST:PORT (write for instance 10.0.0.1:8080 or emoji.example:8080)")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not is_ipv6(host):
            raise ValueProblem(f"'{host}' is no IPv6 address (write for instance [::1]:8080)")
    elif ":" in host:
        raise ValueProblem(f"'{text}' is no HOST:PORT (an IPv6 address goes in brackets, for instance [::1]:8080)")
    else:
        check_host(host)
    return Address(host.lower(), parse_port(port, any_port))


def parse_port(text: str, any_port: bool) -> int:
    lowest = 0 if any_port else 1
    port = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else -1
    if not lowest <= port <= 65_535:
        raise ValueProblem(f"'{text}' is no port (a number from {lowest} to 65535)")
    return port


def check_host(host: str) -> None:
    """Accept an IPv4 address or a DNS name, but not 10.0.0.256, which would be looked up as a name."""
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(is_label(label) for label in labels):
        raise ValueProblem(f"'{host}' is no host name or IP address (letters, digits, - and _ between dots)")
    if labels[-1].isdigit() and not is_ipv4(host):
        raise ValueProblem(f"'{host}' is no IPv4 address (four numbers from 0 to 255)")


def is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and NAME_CHARS.issuperset(label) and label[0] != "-" and label[-1] != "-"


def is_ipv4(text: str) -> bool:
    numbers = text.split(".")
    return len(numbers) == 4 and all(
        number.isdigit() and int(number[:4]) <= 255 and (number == "0" or number[0] != "0") for number in numbers
    )


def is_ipv6(text: str) -> bool:
    """Check an address without a zone, as RFC 4291, section 2.2, writes it."""
    head, gap, tail = text.partition("::")
    groups = [group for part in (head, tail) if part for group in part.split(":")]
    if groups and "." in groups[-1]:
        if not is_ipv4(groups[-1]):
            return False
        groups[-1:] = ["0", "0"]
    if not all(0 < len(group) <= 4 and all(digit in "0123456789abcdefABCDEF" for digit in group) for group in groups):
        return False
    return len(groups) < 8 if gap else len(groups) == 8


def parse_authority(text: str) -> str:
    """Read what a route compares with `:authority`: *, *.SUFFIX, or HOST; the latter two with or without :PORT."""
    if text == "*":
        return text
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, ""
    suffix = host.removeprefix("*.")
    try:
        address = parse_address(f"{suffix}:{port or 1}")
    except ValueProblem:
        address = None
    if address is None or text.endswith(":") or (suffix != host and (":" in suffix or is_ipv4(suffix))):
        raise ValueProblem(f"'{text}' is no authority (write *, *.example.com, emoji.example or emoji.example:8080)")
    name = address.host.removesuffix(".")
    name = "*." + name if suffix != host else f"[{name}]" if ":" in name else name
    return f"{name}:{address.port}" if port else name


def parse_duration(text: str) -> float:
    """Read a time span such as 250ms, 5s, 1.5m, 1h, in seconds."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = DURATION_UNITS.get(text[len(number) :])
    if unit is None or not is_decimal(number):
        raise ValueProblem(f"'{text}' is no duration (write for instance 250ms, 5s, 1m or 1h)")
    seconds = float(number) * unit
    if not 0.001 <= seconds <= MAX_DURATION_S:
        raise ValueProblem(f"'{text}' is out of range (from 1ms to {MAX_DURATION_S / 3600:.0f}h)")
    return seconds


def is_decimal(text: str) -> bool:
    whole, point, fraction = text.partition(".")
    numbers = [whole, fraction] if point else [whole]
    return len(text) <= 15 and all(number.isascii() and number.isdigit() for number in numbers)


def parse_size(text: str) -> int:
    """Read an amount of memory such as 65536, 64KiB, 1MiB, in bytes."""
    number = text.rstrip("BGKMik")
    unit = SIZE_UNITS.get(text[len(number) :])
    if unit is None or not (0 < len(number) <= 15 and number.isascii() and number.isdigit()):
        raise ValueProblem(f"'{text}' is no size (write for instance 65536, 64KiB or 1MiB)")
    size = int(number) * unit
    if not 0 < size <= MAX_SIZE_BYTES:
        raise ValueProblem(f"'{text}' is out of range (from 1 to 1GiB)")
    return size


def parse_count(text: str) -> int:
    """Read a whole number from 1."""
    if not (0 < len(text) <= 10 and text.isascii() and text.isdigit() and int(text)):
        raise ValueProblem(f"'{text}' is no whole number from 1")
    return int(text)


def parse_name(text: str) -> str:
    """Read the name of a cluster or a route, which also is a metric's label."""
    if not (0 < len(text) <= 253 and (NAME_CHARS | frozenset(".:/")).issuperset(text)):
        raise ValueProblem(f"'{text}' is no name (1 to 253 letters, digits and . - _ : /)")
    return text


def listen_address(text: str) -> Address:
    return parse_address(text, any_port=True)


def parse_weight(text: str) -> int:
    if parse_count(text) > MAX_WEIGHT:
        raise ValueProblem(f"'{text}' is no weight (a whole number from 1 to {MAX_WEIGHT})")
    return int(text)


def parse_protocol(text: str) -> str:
    if text not in (HTTP1, HTTP2):
        raise ValueProblem(
            f"'{text}' is no protocol (http2, or http; tcp has no requests to route: mesh proxy --protocol tcp)"
        )
    return text


def parse_path(text: str) -> str:
    if not text.startswith("/") or "?" in text or not all("!" <= char <= "~" for char in text):
        raise ValueProblem(f"'{text}' is no path (it begins with /, is printable ASCII, and has no query)")
    return text


def parse_pattern(text: str) -> str:
    try:
        Regex(text)
    except PatternError as problem:
        raise ValueProblem(f"'{text}' is no pattern: {problem}") from None
    return text
