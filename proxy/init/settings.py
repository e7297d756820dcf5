"""What is intercepted and what is left alone, read from the text that people give in options and annotations.

Ports and subnets are kept sorted and merged, so that the same wish always makes the same rules. What cannot be meant
is a ConfigError of one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from mesh.contract import ADMIN_PORT, INBOUND_PORT, OUTBOUND_PORT, PROXY_UID
from mesh.ports import MAX_PORT, read_ports
from proxy.errors import ConfigError

ID_MAX = 2**32 - 2  # the last one means "none" to the kernel
MAX_WORKERS = 64
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_SHOWN_MAX = 60


@dataclass(frozen=True, slots=True, order=True)
class PortRange:
    """Ports from `first` to `last`, both of them included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Settings:
    """One pod's interception."""

    proxy_uid: int = PROXY_UID
    proxy_gid: int | None = None
    outbound_port: int = OUTBOUND_PORT
    inbound_port: int = INBOUND_PORT
    admin_port: int = ADMIN_PORT
    workers: int = 1  # each has an admin port of its own, from `admin_port` on
    skip_inbound_ports: tuple[PortRange, ...] = ()
    skip_outbound_ports: tuple[PortRange, ...] = ()
    skip_ipv4_subnets: tuple[IPv4Network, ...] = ()
    skip_ipv6_subnets: tuple[IPv6Network, ...] = ()

    def __post_init__(self) -> None:
        if self.admin_ports.last > MAX_PORT:
            raise ConfigError(f"the workers' admin ports go beyond {MAX_PORT}: choose a lower --admin-port")
        admin = range(self.admin_ports.first, self.admin_ports.last + 1)
        if self.outbound_port == self.inbound_port or self.outbound_port in admin or self.inbound_port in admin:
            raise ConfigError("the outbound, inbound and admin ports of the proxy must all be different")

    @property
    def admin_ports(self) -> PortRange:
        return PortRange(self.admin_port, self.admin_port + self.workers - 1)

    @property
    def own_ports(self) -> tuple[PortRange, ...]:
        """Where the proxy listens."""
        single = (PortRange(port, port) for port in (self.outbound_port, self.inbound_port))
        return tuple(sorted((*single, self.admin_ports)))


def parse_number(text: str, option: str, last: int) -> int:
    """A number from 1: nothing can call port 0, and with uid 0 all that root sends would be left alone."""
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= last:
        raise ConfigError(f"{option} is a number from 1 to {last}, not {show(text)}")
    return int(text)


def parse_ports(text: str, option: str) -> tuple[PortRange, ...]:
    """`25,8000-8100`: numbers and ranges, both ends included."""
    found = read_ports(text)
    if found.wrong:
        raise ConfigError(
            f"{option} takes ports from 1 to {MAX_PORT} and ranges such as 8000-8100, commas "
            f"between, not {show(found.wrong[0])}"
        )
    return tuple(PortRange(*ends) for ends in found.ranges)


def parse_subnets(text: str, option: str) -> tuple[tuple[IPv4Network, ...], tuple[IPv6Network, ...]]:
    """`10.0.0.0/8,fd00::/8`, by family; a lone address is a subnet of one."""
    ipv4: list[IPv4Network] = []
    ipv6: list[IPv6Network] = []
    for item in split(text):
        network = parse_subnet(item, option)
        if isinstance(network, IPv4Network):
            ipv4.append(network)
        else:
            ipv6.append(network)
    return tuple(collapse_addresses(ipv4)), tuple(collapse_addresses(ipv6))


def parse_subnet(item: str, option: str) -> IPv4Network | IPv6Network:
    try:
        if "%" in item:  # a scope, which only means something on a link
            raise ValueError(item)
        return ip_network(item, strict=False)
    except ValueError:
        raise ConfigError(
            f"{option} takes subnets such as 10.0.0.0/8 or fd00::/8, commas between, not {show(item)}"
        ) from None


def split(text: str) -> Iterator[str]:
    """The items between commas. One comma too many is no item, as in an annotation that a template filled."""
    return (item.strip() for item in text.split(",") if item.strip())


def show(text: str) -> str:
    """What was given, short and printable, for an error message of one line."""
    return ascii(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "...")
