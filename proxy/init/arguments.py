"""The command line of `mesh proxy init`."""

from __future__ import annotations

import argparse

from mesh.contract import ADMIN_PORT, INBOUND_PORT, OUTBOUND_PORT, PROXY_UID
from mesh.options import Once
from mesh.ports import MAX_PORT
from proxy.init.settings import ID_MAX, MAX_WORKERS, Settings, parse_number, parse_ports, parse_subnets

_EPILOG = f"""\
examples:
  mesh proxy init
  mesh proxy init --skip-inbound-ports 9000,9100-9199 --skip-outbound-ports 25 --skip-subnets 10.96.0.10
  mesh proxy init --simulate --ipv6 off
  mesh proxy init --delete

Run it in the pod's network namespace, before the pod's containers start, with the capabilities NET_ADMIN and NET_RAW,
as the injector's init container does. New TCP connections then go through the proxy, which listens on the loopback
addresses at the outbound port and on all addresses at the inbound port; connections that are open already are left
alone. It may be run again, with the same settings or others: the rules are replaced in one step. The proxy itself must
run as uid {PROXY_UID} (--proxy-uid). Where GOSSAMER_POD_IP and GOSSAMER_HOST_IP are equal it refuses, since that is the
node's own network (hostNetwork). Exit codes: 0, 1 if the rules could not be written, 2 for wrong usage.
"""


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mesh proxy init",
        description="Write the iptables rules that send this pod's TCP connections through the proxy.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for name, metavar, help in (
        ("--skip-inbound-ports", "PORTS", "leave connections to these ports of the pod alone"),
        ("--skip-outbound-ports", "PORTS", "leave connections from the pod to these ports alone"),
        ("--skip-subnets", "SUBNETS", "leave connections from and to these subnets or addresses alone"),
        ("--outbound-port", "PORT", f"where the proxy takes what the pod opens (default {OUTBOUND_PORT})"),
        ("--inbound-port", "PORT", f"where it takes what comes to the pod (default {INBOUND_PORT})"),
        ("--admin-port", "PORT", f"its admin port, which is never intercepted (default {ADMIN_PORT})"),
        ("--workers", "N", "as the proxy has it: worker i has the admin port PORT+i (default 1)"),
        ("--proxy-uid", "UID", f"the user that the proxy runs as (default {PROXY_UID})"),
        ("--proxy-gid", "GID", "a group whose processes count as the proxy too (default: none)"),
    ):
        parser.add_argument(name, metavar=metavar, action=Once, help=help)
    parser.add_argument(
        "--backend",
        choices=("auto", "nft", "legacy"),
        default="auto",
        help="which of the kernel's two kinds of tables to use (default: those that hold rules already, or else nft)",
    )
    parser.add_argument(
        "--ipv6",
        choices=("auto", "on", "off"),
        default="auto",
        help="write rules for IPv6 too (default: if the pod has IPv6)",
    )
    parser.add_argument("--simulate", action="store_true", help="print what would be applied, and touch nothing")
    parser.add_argument(
        "--delete", action="store_true", help="remove the rules of any earlier run; connections through the proxy end"
    )
    return parser.parse_args(argv)


def read_settings(arguments: argparse.Namespace) -> Settings:
    """What was asked for; ConfigError if it cannot be meant."""

    def number(name: str, last: int, default: int) -> int:
        text = getattr(arguments, name)
        return default if text is None else parse_number(text, f"--{name.replace('_', '-')}", last)

    ipv4, ipv6 = parse_subnets(arguments.skip_subnets or "", "--skip-subnets")
    return Settings(
        proxy_uid=number("proxy_uid", ID_MAX, PROXY_UID),
        proxy_gid=None if arguments.proxy_gid is None else parse_number(arguments.proxy_gid, "--proxy-gid", ID_MAX),
        outbound_port=number("outbound_port", MAX_PORT, OUTBOUND_PORT),
        inbound_port=number("inbound_port", MAX_PORT, INBOUND_PORT),
        admin_port=number("admin_port", MAX_PORT, ADMIN_PORT),
        workers=number("workers", MAX_WORKERS, 1),
        skip_inbound_ports=parse_ports(arguments.skip_inbound_ports or "", "--skip-inbound-ports"),
        skip_outbound_ports=parse_ports(arguments.skip_outbound_ports or "", "--skip-outbound-ports"),
        skip_ipv4_subnets=ipv4,
        skip_ipv6_subnets=ipv6,
    )
