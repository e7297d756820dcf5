"""The nat rules of interception as text for `iptables-restore --noflush`, and what of them a namespace holds already.

Two chains, as in linkerd2-proxy-init. GOSSAMER_OUTBOUND, for what the pod's own processes open:
- what the proxy's user opens goes out as it is, or it would come back to the proxy for ever. That holds for the pod's
  own address too: where an endpoint is the pod itself, the outbound proxy speaks straight to the application, in
  plain text.
- what leaves through `lo` is left alone: 127.0.0.0/8, ::1 and the pod's own addresses. A pod that calls itself by a
  Service leaves through the pod's link, since a Service's address is nobody's, and is intercepted.
- what goes to an IPv6 link-local address is left alone: it comes from a socket that is bound to an interface, so that
  the kernel would drop what is sent on to ::1.
GOSSAMER_INBOUND, for what comes to the pod: all but the proxy's own ports and what is to be skipped. The kubelet's
probes come that way too; the injector points them to the admin port. A skipped subnet is skipped as source and as
destination.

Only TCP's first segment (SYN without ACK) is looked at: conntrack keeps what was decided. Without that, connections
that are older than the rules, and late segments of forgotten ones, would be torn from their peers and given to the
proxy. DNS over TCP is intercepted as all TCP, and opaque to the proxy; UDP is never touched.

Invariant: the same settings over any older rules of ours give the same tables, in one commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from proxy.init.settings import PortRange, Settings

INBOUND_CHAIN, OUTBOUND_CHAIN = "GOSSAMER_INBOUND", "GOSSAMER_OUTBOUND"
_CHAINS = (INBOUND_CHAIN, OUTBOUND_CHAIN)
# As iptables-save writes them, so that they can be compared with what it says.
_OPENING = "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN"
_JUMPS = (f"PREROUTING {_OPENING} -j {INBOUND_CHAIN}", f"OUTPUT {_OPENING} -j {OUTBOUND_CHAIN}")
_OUR_CHAIN = re.compile(r"^:(GOSSAMER_\w+) ", re.MULTILINE)
_OUR_JUMP = re.compile(r"^-A ((?!GOSSAMER_)\S+ (?:.* )?-[jg] GOSSAMER_\w+.*)$", re.MULTILINE)
_NAT = re.compile(r"^\*nat$(.*?)^COMMIT$", re.MULTILINE | re.DOTALL)
_MULTIPORT_MAX = 15  # of xt_multiport; a range counts twice


def find_nat(saved: str) -> str:
    """The nat table in what iptables-save wrote."""
    found = _NAT.search(saved)
    return found[1] if found else ""


def has_rules(nat: str) -> bool:
    """Whether anything of ours is in this nat table."""
    return bool(_OUR_CHAIN.search(nat))


def render_rules(settings: Settings, version: int, nat: str) -> str:
    """What turns `nat` into the rules of these settings; `version` is IP's, 4 or 6."""
    lines = [*render_inbound(settings, version), *render_outbound(settings, version)]
    return render_table(nat, _CHAINS, lines, _JUMPS)


def render_removal(nat: str) -> str:
    """What takes all that is ours out of `nat`."""
    return render_table(nat, (), (), ())


def render_table(nat: str, chains: tuple[str, ...], rules: Iterable[str], jumps: tuple[str, ...]) -> str:
    present = _OUR_JUMP.findall(nat)
    stale = [chain for chain in _OUR_CHAIN.findall(nat) if chain not in chains]
    lines = ["*nat", *(f":{chain} - [0:0]" for chain in (*chains, *stale)), *rules]  # a chain that is named is emptied
    if sorted(present) != sorted(jumps):  # jumps that are right keep their place among the rules of others
        lines += [*(f"-D {jump}" for jump in present), *(f"-A {jump}" for jump in jumps)]
    lines += [*(f"-X {chain}" for chain in stale), "COMMIT"]
    return "\n".join(lines) + "\n"


def render_inbound(settings: Settings, version: int) -> Iterator[str]:
    add = f"-A {INBOUND_CHAIN}"
    yield "# the proxy's own ports"
    for group in group_ports(settings.own_ports):
        yield f"{add} -p tcp -m multiport --dports {group} -j RETURN"
    yield from render_skipped_ports(add, settings.skip_inbound_ports)
    yield from render_skipped_subnets(f"{add} -s", settings, version)
    yield "# all else, to the proxy's inbound side"
    yield f"{add} -p tcp -j REDIRECT --to-ports {settings.inbound_port}"


def render_outbound(settings: Settings, version: int) -> Iterator[str]:
    add = f"-A {OUTBOUND_CHAIN}"
    yield "# what the proxy sends"
    yield f"{add} -m owner --uid-owner {settings.proxy_uid} -j RETURN"
    if settings.proxy_gid is not None:
        yield f"{add} -m owner --gid-owner {settings.proxy_gid} -j RETURN"
    yield "# what stays in the pod"
    yield f"{add} -o lo -j RETURN"
    if version == 6:
        yield "# what stays on the link: its sockets are bound to an interface, which loopback is not"
        yield f"{add} -d fe80::/10 -j RETURN"
    yield from render_skipped_ports(add, settings.skip_outbound_ports)
    yield from render_skipped_subnets(f"{add} -d", settings, version)
    yield "# all else, to the proxy's outbound side"
    yield f"{add} -p tcp -j REDIRECT --to-ports {settings.outbound_port}"


def render_skipped_ports(add: str, ranges: tuple[PortRange, ...]) -> Iterator[str]:
    if ranges:
        yield "# skipped ports"
    for group in group_ports(ranges):
        yield f"{add} -p tcp -m multiport --dports {group} -j RETURN"


def group_ports(ranges: tuple[PortRange, ...]) -> Iterator[str]:
    """The ports as lists that one multiport match can hold."""
    group: list[str] = []
    used = 0
    for found in ranges:
        single = found.first == found.last
        size = 1 if single else 2
        if used + size > _MULTIPORT_MAX:
            yield ",".join(group)
            group, used = [], 0
        group.append(str(found.first) if single else f"{found.first}:{found.last}")
        used += size
    if group:
        yield ",".join(group)


def render_skipped_subnets(add: str, settings: Settings, version: int) -> Iterator[str]:
    subnets = settings.skip_ipv4_subnets if version == 4 else settings.skip_ipv6_subnets
    if subnets:
        yield "# skipped subnets"
    for subnet in subnets:
        yield f"{add} {subnet} -j RETURN"
