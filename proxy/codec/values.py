"""The values of single fields that the data path reads: numbers, times, and a few questions with yes or no.

Pure functions. What cannot be read is -1, as if the field were absent; only the caller knows whether that is a fault.
"""

from __future__ import annotations

_TIMEOUT_UNITS_S = {0x48: 3600.0, 0x4D: 60.0, 0x53: 1.0, 0x6D: 1e-3, 0x75: 1e-6, 0x6E: 1e-9}  # H M S m u n
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


def is_same_host(scheme: bytes, authority: bytes, host: bytes) -> bool:
    """Compare as RFC 3986, section 6.2 normalises: without regard to case and default port."""
    if authority == host:
        return True
    port = _DEFAULT_PORTS.get(scheme.lower(), b":")
    return authority.lower().removesuffix(port) == host.lower().removesuffix(port)


def is_grpc(content_type: bytes) -> bool:
    """application/grpc itself, with a codec (+proto) or with parameters."""
    p = content_type
    size = len(content_type)
    if size > 16 and (p[16] == 0x2B or p[16] == 0x3B):
        return content_type.startswith(b"application/grpc")
    return size == 16 and content_type == b"application/grpc"


def is_trailers(te: bytes) -> bool:
    """The only thing that `te` may say in HTTP/2."""
    return te == b"trailers" or te.lower() == b"trailers"


def read_number(value: bytes, size: int, max_digits: int) -> int:
    """The number that the first `size` bytes spell; -1 if it is none or has too many digits."""
    if size < 1 or size > max_digits or size > len(value):
        return -1
    p = value
    number = 0
    for at in range(size):
        digit = p[at] - 0x30
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number


def read_delay(value: bytes, unit_s: float) -> float:
    """A number of units in seconds; -1 if it is none."""
    number = read_number(value, len(value), 9)
    return number * unit_s if number >= 0 else -1.0


def read_timeout(value: bytes) -> float:
    """grpc-timeout in seconds (gRPC's PROTOCOL-HTTP2: up to eight digits and a unit); -1 if it is none."""
    p = value
    digits = len(value) - 1
    number = read_number(value, digits, 8)
    if number < 0:
        return -1.0
    unit_s = _TIMEOUT_UNITS_S.get(p[digits], -1.0)
    return number * unit_s if unit_s > 0.0 else -1.0
