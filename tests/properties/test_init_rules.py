"""Any text for ports and subnets gives either one sentence or rules that mean just what was said."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import ConfigError
from proxy.init.rules import find_nat, group_ports, render_removal, render_rules
from proxy.init.settings import PortRange, Settings, parse_ports, parse_subnets

PORTS = st.integers(1, 65535)
RANGES = st.tuples(PORTS, PORTS).map(lambda ends: (min(ends), max(ends)))
ADDRESSES = st.ip_addresses()
TEXT = st.one_of(st.text(max_size=40), st.text("0123456789-,:./ af\n", max_size=40))


def cover(ranges: tuple[PortRange, ...]) -> set[int]:
    return {port for found in ranges for port in range(found.first, found.last + 1)}


@given(TEXT)
def test_any_text_gives_rules_or_one_sentence(text: str) -> None:
    for parse in (parse_ports, parse_subnets):
        try:
            parse(text, "--option")
        except ConfigError as error:
            sentence = str(error)
            assert sentence.startswith("--option")
            assert sentence.isprintable()
            assert len(sentence) < 300


@given(st.lists(RANGES, max_size=8))
def test_ports_mean_what_they_say(ranges: list[tuple[int, int]]) -> None:
    parsed = parse_ports(",".join(f"{first}-{last}" for first, last in ranges), "")
    assert cover(parsed) == {port for first, last in ranges for port in range(first, last + 1)}
    assert all(one.last + 1 < other.first for one, other in pairwise(parsed))


@given(st.lists(st.one_of(PORTS.map(lambda port: (port, port)), RANGES), max_size=60))
def test_every_port_is_in_a_rule_that_the_kernel_takes(ranges: list[tuple[int, int]]) -> None:
    parsed = parse_ports(",".join(f"{first}-{last}" for first, last in ranges), "")
    groups = list(group_ports(parsed))
    items = [item for group in groups for item in group.split(",")]
    assert items == [
        f"{found.first}:{found.last}" if found.first < found.last else f"{found.first}" for found in parsed
    ]
    assert all(1 <= len(group.replace(":", ",").split(",")) <= 15 for group in groups)


@given(st.lists(st.tuples(ADDRESSES, st.integers(0, 32)), max_size=12), ADDRESSES)
def test_subnets_mean_what_they_say(given: list[tuple[object, int]], probe: object) -> None:
    texts = [f"{address}/{length}" for address, length in given]
    ipv4, ipv6 = parse_subnets(",".join(texts), "")
    one_by_one = [network for text in texts for family in parse_subnets(text, "") for network in family]
    address = ip_address(str(probe))
    assert any(address in network for network in (*ipv4, *ipv6)) == any(address in network for network in one_by_one)


@given(st.lists(RANGES, max_size=20), st.lists(RANGES, max_size=20), st.sampled_from([4, 6]))
def test_what_is_written_is_recognised(
    first: list[tuple[int, int]], second: list[tuple[int, int]], version: int
) -> None:
    """Over its own rules it moves no jump, and its removal takes back just what it added."""
    before, after = (
        Settings(skip_inbound_ports=tuple(PortRange(*ends) for ends in ranges)) for ranges in (first, second)
    )
    written = find_nat(render_rules(before, version, ""))
    again = render_rules(after, version, written)
    assert " PREROUTING " not in again
    assert " OUTPUT " not in again
    added = {line[3:] for line in written.splitlines() if line.startswith(("-A PREROUTING ", "-A OUTPUT "))}
    assert {line[3:] for line in render_removal(written).splitlines() if line.startswith("-D ")} == added
