from __future__ import annotations

import pytest

from proxy.codec.values import is_same_host, read_delay, read_number, read_timeout


@pytest.mark.parametrize(
    ("value", "timeout_s"),
    [
        (b"1H", 3600.0),
        (b"2M", 120.0),
        (b"3S", 3.0),
        (b"4m", 0.004),
        (b"5u", 5e-6),
        (b"6n", 6e-9),
        (b"0S", 0.0),
        (b"99999999H", 99_999_999 * 3600.0),
        (b"100000000S", -1.0),
        (b"", -1.0),
        (b"S", -1.0),
        (b"1", -1.0),
        (b"1s", -1.0),
        (b"-1S", -1.0),
        (b"1.5S", -1.0),
        (b"1 S", -1.0),
        (b"1SS", -1.0),
    ],
)
def test_grpc_timeouts(value: bytes, timeout_s: float) -> None:
    assert read_timeout(value) == pytest.approx(timeout_s, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "size", "max_digits", "number"),
    [
        (b"0", 1, 1, 0),
        (b"007", 3, 3, 7),
        (b"12x", 2, 9, 12),
        (b"9" * 18, 18, 18, 10**18 - 1),
        (b"123", 3, 2, -1),
        (b"", 0, 9, -1),
        (b"1", 2, 9, -1),
        (b"1", -1, 9, -1),
        (b"1/", 2, 9, -1),
        (b"1:", 2, 9, -1),
        (b"+1", 2, 9, -1),
        (b"\xb2", 1, 9, -1),
    ],
)
def test_numbers(value: bytes, size: int, max_digits: int, number: int) -> None:
    assert read_number(value, size, max_digits) == number


def test_delays() -> None:
    assert read_delay(b"1500", 0.001) == 1.5
    assert read_delay(b"-1500", 0.001) == -1.0


@pytest.mark.parametrize(
    ("scheme", "authority", "host", "same"),
    [
        (b"http", b"a", b"a", True),
        (b"http", b"A:80", b"a", True),
        (b"https", b"a", b"a:443", True),
        (b"HTTPS", b"a", b"a:443", True),
        (b"https", b"a", b"a:80", False),
        (b"custom", b"a:80", b"a", False),
        (b"http", b"a:8080", b"a:80", False),
        (b"http", b"a", b"", False),
    ],
)
def test_same_host(scheme: bytes, authority: bytes, host: bytes, same: bool) -> None:
    assert is_same_host(scheme, authority, host) == same
