from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest

from proxy.errors import ConfigError
from proxy.init.settings import PortRange, Settings, parse_number, parse_ports, parse_subnets

OPTION = "--skip-inbound-ports"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" , ,", []),
        ("80", [(80, 80)]),
        ("443, 80", [(80, 80), (443, 443)]),
        ("8000-8100", [(8000, 8100)]),
        (" 8000 - 8100 ", [(8000, 8100)]),
        ("1-65535", [(1, 65535)]),
        ("80,80,81", [(80, 81)]),
        ("5-9,1-3,2-7", [(1, 9)]),
        ("1-9,2-3,5", [(1, 9)]),
        ("00080", [(80, 80)]),
    ],
)
def test_ports(text: str, expected: list[tuple[int, int]]) -> None:
    assert parse_ports(text, OPTION) == tuple(PortRange(*ends) for ends in expected)


@pytest.mark.parametrize(
    "text", ["0", "65536", "-1", "a", "1-", "-", "1-2-3", "1:2", "80 81", "٨٠", "1e3", "0-5", "9-5", "9" * 99]
)
def test_ports_that_are_none(text: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^--skip-inbound-ports takes ports from 1 to 65535 and ranges such as"
    ) as fault:
        parse_ports(text, OPTION)
    assert len(str(fault.value)) < 200


def test_subnets_by_family_with_host_bits_cut_and_merged() -> None:
    assert parse_subnets("10.1.2.3/8, fd00::1,192.0.2.1,10.9.0.0/16,", "") == (
        (IPv4Network("10.0.0.0/8"), IPv4Network("192.0.2.1/32")),
        (IPv6Network("fd00::1/128"),),
    )


@pytest.mark.parametrize(
    "text", ["10.0.0.0/33", "10.0.0", "example.com", "fe80::1%eth0", "10.0.0.0-10.0.0.9", "/8", "::/129"]
)
def test_subnets_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--skip-subnets takes subnets such as"):
        parse_subnets(text, "--skip-subnets")


@pytest.mark.parametrize("text", ["0", "", "-1", "x", "4294967295", "1.0", "+5"])
def test_a_uid_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--proxy-uid is a number from 1 to 4294967294, not '"):
        parse_number(text, "--proxy-uid", 2**32 - 2)


def test_the_proxys_ports_differ() -> None:
    with pytest.raises(ConfigError, match="must all be different"):
        Settings(outbound_port=4143)
    with pytest.raises(ConfigError, match="must all be different"):
        Settings(admin_port=4142, workers=2)


def test_each_worker_s_admin_port_is_a_port_too() -> None:
    assert Settings(admin_port=65_530, workers=6).admin_ports == PortRange(65_530, 65_535)
    with pytest.raises(ConfigError, match="go beyond 65535: choose a lower --admin-port"):
        Settings(admin_port=65_530, workers=7)
